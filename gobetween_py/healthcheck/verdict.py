"""Passes and fails in a row -> healthy or not. Pure counting."""


class Verdict:
    """On one backend. `live` is None until the first result, which then decides alone.

    Args:
        live: what it counts as before any result; None = nobody knows.
    """

    __slots__ = ("fails", "live", "passes")

    def __init__(self, live: bool | None) -> None:
        self.live = live
        self.passes = 0
        """In a row, up to now; 0 after a failure..."""
        self.fails = 0
        """...and likewise, 0 after a success."""

    def record(self, passed: bool, *, passes: int, fails: int) -> bool:
        """Take one more result; whether the verdict is another now.

        Args:
            passes, fails: how many in a row change it.
        """
        if passed:
            self.passes, self.fails = self.passes + 1, 0
        else:
            self.passes, self.fails = 0, self.fails + 1
        needed, count = (passes, self.passes) if passed else (fails, self.fails)
        if self.live is passed or (self.live is not None and count < needed):
            return False
        self.live = passed
        return True
