"""What client and backend do in one connection, and the bytes they exchange.

A connection begins with a header from the client: the mode, and for each direction where in `BLOCK` its bytes begin and
how many there are. So each end knows exactly what it must get: a byte that is lost, doubled or out of place is seen.
"""

import random
import struct
from enum import IntEnum
from typing import NamedTuple, Self

LARGEST = 1 << 20
BLOCK = random.Random(20).randbytes(2 * LARGEST)
_HEADER = struct.Struct("!BIIII")
HEADER_SIZE = _HEADER.size


class Mode(IntEnum):
    """Who does what."""

    WHOLE = 0  # request, answer, the backend closes
    SLOW = 1  # the same, the client reads in small sips
    CLIENT_HALF_CLOSES = 2  # the request ends with a FIN, the answer follows
    BACKEND_HALF_CLOSES = 3  # the answer ends with a FIN, the request follows
    CLIENT_RESETS = 4  # in the middle of its request
    BACKEND_RESETS = 5  # in the middle of its answer


WEIGHTS = (50, 5, 15, 15, 8, 7)


class Script(NamedTuple):
    """One connection."""

    mode: Mode
    up_from: int
    up_size: int
    down_from: int
    down_size: int

    @classmethod
    def draw(cls, dice: random.Random) -> Self:
        """A connection by chance: most carry little, some enough to be spliced."""
        mode = dice.choices(tuple(Mode), WEIGHTS)[0]
        return cls(mode, dice.randrange(LARGEST), _size(dice), dice.randrange(LARGEST), _size(dice))

    @classmethod
    def unpack(cls, header: bytes) -> Self:
        mode, *rest = _HEADER.unpack(header)
        return cls(Mode(mode), *rest)

    def pack(self) -> bytes:
        return _HEADER.pack(*self)

    @property
    def up(self) -> bytes:
        """What the client sends after the header."""
        return BLOCK[self.up_from : self.up_from + self.up_size]

    @property
    def down(self) -> bytes:
        """What the backend sends."""
        return BLOCK[self.down_from : self.down_from + self.down_size]


def _size(dice: random.Random) -> int:
    limit = dice.choices((100, 3_000, 70_000, LARGEST), (30, 50, 17, 3))[0]
    return dice.randrange(limit)
