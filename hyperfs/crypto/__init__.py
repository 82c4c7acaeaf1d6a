"""Keys, ids and the seal: bytes in, bytes out; no files, no clock, no randomness of its own."""
