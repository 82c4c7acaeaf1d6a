"""One module a page: what is asked of the drive, and what the template gets."""
