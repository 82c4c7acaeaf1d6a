"""A drive by a link, to be read: what the link says, and the store that follows the drive."""
