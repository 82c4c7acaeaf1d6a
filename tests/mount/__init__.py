"""A real drive behind a real mount, and what programs see of it."""
