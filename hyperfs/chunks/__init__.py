"""File bytes as chunks, packs and extents: cutting, compressing, sealing, and reading them back."""
