"""A disk that takes no more."""

import contextlib
import resource


@contextlib.contextmanager
def files_end_at(size):
    """No file may grow beyond it: the nearest thing to a full disk that a test may have."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
