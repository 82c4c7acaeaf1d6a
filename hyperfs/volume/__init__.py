"""The filesystem without FUSE: inodes, names, bytes, versions, and the promises about them."""
