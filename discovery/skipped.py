"""Bad entries of an answer: left out, told once, and told again only after they were gone."""

import logging

from discovery.one_line import one_line

MOST_TOLD = 20
"""Entries named in the log for one answer; of the rest, the number."""


class Skipped:
    """Collects what is wrong with single entries of an answer; the loop settles it when the answer is complete."""

    def __init__(self) -> None:
        self.count = 0
        """Entries left out of the last settled answer."""
        self._now: dict[str, None] = {}
        self._pending = 0
        self._told: set[str] = set()

    def add(self, message: str) -> None:
        """Note one entry, by a text that names it and says what is wrong, without secrets."""
        self._pending += 1
        if len(self._now) < MOST_TOLD:
            self._now[one_line(message, 300)] = None

    def settle(self, logger: logging.Logger, name: str) -> None:
        """The answer is complete: warn of the entries that were not skipped in the answer before, and start over."""
        for message in self._now:
            if message not in self._told:
                logger.warning("%s: skipped %s", name, message)
        if self._pending > len(self._now) and self._pending != self.count:
            logger.warning("%s: skipped %d entries in all", name, self._pending)
        self.count, self._told = self._pending, set(self._now)
        self._now, self._pending = {}, 0

    def unchanged(self) -> None:
        """The answer is the one before: with the same entries skipped."""
        self._now, self._pending = dict.fromkeys(self._told), self.count

    def forget(self) -> None:
        """The answer failed as a whole: what was noted of its entries says nothing."""
        self._now, self._pending = {}, 0
