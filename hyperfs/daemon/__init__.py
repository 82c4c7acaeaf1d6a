"""A drive's process: it holds the store open, answers the kernel, and takes requests on its control socket."""
