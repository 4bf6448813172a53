"""One thread for numerical libraries, so that workers on few cores do not queue for each other."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process

_THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for every BLAS loaded; in a worker process also for those loaded later, and for torch."""
    import threadpoolctl

    if parent_process() is not None:
        os.environ.update(_THREADS)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(1)
    with threadpoolctl.threadpool_limits(1):
        yield
