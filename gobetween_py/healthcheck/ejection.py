"""Passive checks: what clients' failed connects say of a backend. Pure: whoever calls brings the time.

`max_fails` failures within `fail_window` are a reason to eject it. The first ejection lasts `ejection_time`, each
further one twice as long, up to `max_ejection_time`; a backend that stayed in as long as its last ejection took, and at
least `fail_window`, starts over.
"""

from gobetween_py.healthcheck.contract import Options


class Ejection:
    """The record of one backend. Times are seconds of any one clock."""

    __slots__ = ("count", "deaf_until", "failures", "length", "until")

    def __init__(self) -> None:
        self.failures: list[float] = []
        """When connects failed, within the window."""
        self.count = 0
        """Ejections ever."""
        self.length = 0.0
        """Seconds of the latest one; 0 = the next is a first one."""
        self.until = 0.0
        """When it is or was over."""
        self.deaf_until = 0.0
        """When failures count again."""

    def failed(self, now: float, options: Options) -> bool:
        """A connect failed: whether the backend should be ejected."""
        if now < self.deaf_until:
            return False
        begin = now - options.fail_window
        self.failures = [*(at for at in self.failures if at > begin), now]
        return len(self.failures) >= options.max_fails

    def begin(self, now: float, options: Options) -> float:
        """Eject it; returns for how many seconds."""
        self.failures.clear()
        stayed_in = now - self.until
        if not self.length or stayed_in >= max(self.length, options.fail_window):
            self.length = options.ejection_time
        else:
            self.length = min(2 * self.length, options.max_ejection_time)
        self.count += 1
        self.until = now + self.length
        return self.length

    def deny(self, now: float, options: Options) -> None:
        """It should be ejected, but must not be: the next window starts over."""
        self.failures.clear()
        self.deaf_until = now + options.fail_window
