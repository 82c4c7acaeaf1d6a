"""The volume as a kernel mount. The only package that imports pyfuse3."""
