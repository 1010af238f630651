"""How the service bears ten thousand jobs, a million rows, hundreds of listeners: `python -m benchmarks.scale`."""
