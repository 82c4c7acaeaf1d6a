"""What connects an open drive with its peers: it keeps the drive on them, and brings back from them what left."""
