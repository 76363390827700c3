"""Counting without objects: one flat array of 64-bit integers, a row per backend or server.

The hot path adds with `values[row + RX] += n`. Only the owner of a row writes it; anybody may read.
"""

from array import array

ACTIVE, TOTAL, REFUSED, RX, TX = range(5)
"""Columns of a row: open connections, connections made, connects refused, bytes from the backend, bytes to the
backend.
"""
COLUMNS = 8
"""Width of a row: a cache line of 64 bytes, three columns of it spare."""


class Counters:
    """Rows of counters in one array that grows in place, so that `values` may be kept by whoever counts."""

    __slots__ = ("_free", "values")

    def __init__(self) -> None:
        self.values: array[int] = array("q")
        self._free: list[int] = []

    def allocate(self) -> int:
        """The offset of a zeroed row; rows given back are used again."""
        zeroes = array("q", bytes(8 * COLUMNS))
        if self._free:
            row = self._free.pop()
            self.values[row : row + COLUMNS] = zeroes
        else:
            row = len(self.values)
            self.values.extend(zeroes)
        return row

    def free(self, row: int) -> None:
        """Give a row back, once and by its owner; its figures stay readable until the row is allocated again."""
        self._free.append(row)
