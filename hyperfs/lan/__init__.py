"""Finding a peer on the local network. What is heard there is a hint, never a fact. The page is docs/lan.md."""
