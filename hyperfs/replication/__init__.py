"""Hypercore's wire: how blocks of logs travel between machines. Moves blocks, never looks inside them.

From the bytes up: curve, noise, secret_stream (a secret channel over any byte stream), mux (many channels in it),
messages (what the channel of one log says), bitfield (what the other side holds), exchange (the state of one such
channel), scheduler (what to ask of whom). All of these are pure: bytes and events in, bytes and events out. The page
is docs/replication.md.
"""
