"""hyperfs: a personal filesystem that never forgets, and that no one else can read."""

__version__ = "0.1.0"
