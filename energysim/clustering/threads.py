"""One thread for loops over blocks that fit a core's cache."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run the operations inside on one thread of this process, then on as many as before.

    Operations on such blocks take microseconds. Threads that wait for each other after every one of them gain little on
    an idle machine and lose a factor of a thousand on a busy one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
