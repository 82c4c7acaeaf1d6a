"""A drive from a cloud peer onto a bare machine: with the recovery key and the peer's address alone."""
