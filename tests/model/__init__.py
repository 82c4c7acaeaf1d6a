"""The mounted drive beside the machine's own filesystem: the same calls, and everything that programs see compared."""
