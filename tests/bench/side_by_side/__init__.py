"""hyperfs beside its peers: the same work on several folders in turn, in one run."""
