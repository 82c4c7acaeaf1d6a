"""The page on which people look at a drive through time, and put things back: docs/web.md."""
