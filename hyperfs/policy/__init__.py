"""Rules that take values and return values: what WHEN means, which versions are kept."""
