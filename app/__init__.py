"""HTTP, and the things people touch: the server, its client, the command line. Knows the worker by contract."""
