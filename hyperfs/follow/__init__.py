"""A plain folder that is imported into a drive, continuously. See docs/follow.md for words and rules.

Pure, with nothing of the system: `facts`, `plan` (what to do about each name), `settling` (what is at rest when),
`patterns` (what is ignored). Edges: `tree` and `taking` (the two folders), `records` (the state), `watching` (events).
`comparing` joins them over a folder, `walking` over all of them, `follower` over time.
"""
