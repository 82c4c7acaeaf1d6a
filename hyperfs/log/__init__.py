"""Signed append-only logs, byte for byte Hypercore's hashing and signatures, and the control chain."""
