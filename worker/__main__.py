"""`python -m worker`: the Celery worker, in a process whose arithmetic libraries use one thread each.

They read that setting when they are loaded, so it is put into the environment of a process that starts afresh.
"""

import os
import sys

SINGLE_THREADED = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def main() -> None:
    """Become the worker; a number of threads set from outside is left as it is."""
    environment = {**dict.fromkeys(SINGLE_THREADED, "1"), **os.environ}
    os.execve(sys.executable, [sys.executable, "-m", "worker.tasks", *sys.argv[1:]], environment)


if __name__ == "__main__":
    main()
