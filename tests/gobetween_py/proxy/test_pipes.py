import errno
import os

import pytest

from gobetween_py.proxy.pipes import KEPT, PipePool


def test_a_pipe_is_used_again():
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None
    pool.give(pipe)
    assert pool.take() == pipe
    pool.give(pipe)
    pool.close()
    assert pool.open == 0


def test_no_more_than_a_stock_is_kept():
    pool = PipePool()
    pipes = [pool.take() for _ in range(KEPT + 3)]
    for pipe in pipes:
        assert pipe is not None
        pool.give(pipe)
    assert pool.open == KEPT
    pool.close()


def test_a_pipe_with_bytes_in_it_is_closed():
    pool = PipePool()
    pipe = pool.take()
    assert pipe is not None
    os.write(pipe[1], b"of an ended connection")
    pool.discard(pipe)
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(pipe[0])
    assert pool.open == 0
