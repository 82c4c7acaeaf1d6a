"""A cloud peer's process: `hyperfs peer serve`. Sockets, clock and threads around `hyperfs.peer`, which decides."""
