"""The store folder on disk: flat files, the journal, the derived index. Knows nothing of what the bytes mean."""
