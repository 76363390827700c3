"""What a source of the config is."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from discovery.backoff import Backoff, Pace
from discovery.contract import DiscoveryError
from discovery.duration import format_duration
from gobetween_py.config import Config, ConfigErrors, Format, Problem, Warn, load, log_warning
from gobetween_py.config.persist import PersistError
from gobetween_py.config.references import missing_files
from gobetween_py.config.sources import guess_format

log = logging.getLogger("pygobetween.config")

TIMEOUT = 10.0
"""Seconds that one read may take."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a text is read.

    format None is by the name of the source; environment: whether ${NAME} is replaced; lenient: whether unknown keys
    are warnings.
    """

    format: Format | None = None
    environment: bool = False
    lenient: bool = False


class Source(ABC):
    """One place where a config is. Used in one event loop at a time, and closed before another one.

    Attributes:
        name: for messages, without secrets.
        text: what was read last.
        writable: whether `store` is possible.
    """

    writable: ClassVar[bool] = False

    def __init__(self, name: str, reading: Reading) -> None:
        self.name = name
        self.reading = reading
        self.text: str | None = None

    @property
    @abstractmethod
    def described(self) -> dict[str, str]:
        """What it is, as gobetween's API tells it, without secrets."""

    @property
    def format(self) -> Format:
        """The format that was asked for, or that the name says."""
        return self.reading.format or guess_format(self.name)

    async def read(self) -> str:
        """The text there is now. Raises ConfigErrors in one line that says why it cannot be had."""
        try:
            async with asyncio.timeout(TIMEOUT):
                self.text = await self._read()
        except TimeoutError:
            raise self._refused(f"no answer within {format_duration(TIMEOUT)}") from None
        except (DiscoveryError, OSError) as error:
            raise self._refused(_reason(error)) from error
        return self.text

    def config_of(self, text: str, warn: Warn = log_warning) -> Config:
        """The config that a text holds, whose files are there. May take a second. Raises ConfigErrors."""
        reading = self.reading
        config = load(
            text,
            self.format,
            name=self.name,
            environment=reading.environment,
            lenient=reading.lenient,
            warn=warn,
        )
        missing_files(config)
        return config

    async def changes(self, pace: Pace = Pace()) -> AsyncGenerator[str | ConfigErrors]:  # noqa: B008  # immutable
        """Each text that differs from the one before, and once why there is none; then the text that there is again.

        Goes on until it is closed.
        """
        backoff, clock = Backoff(pace), asyncio.get_running_loop().time
        failing = False
        while True:
            begun, delay = clock(), backoff.next()
            try:
                async with aclosing(self._moments()) as moments:
                    async for _ in moments:
                        before, text = self.text, await self.read()
                        recovered, failing = failing, False
                        if recovered:
                            log.info("%s: can be read again", self.name)
                        if text != before or recovered:  # the failure is the last that was heard, and over now
                            yield text
            except Exception as error:  # following goes on whatever happens
                if not failing:
                    failing = True
                    yield error if isinstance(error, ConfigErrors) else self._refused(_reason(error))
            if clock() - begun > delay:
                backoff.reset()
            await asyncio.sleep(delay)

    async def close(self) -> None:  # noqa: B027  # a file holds nothing
        """Give back connections; a later read opens others."""

    async def store(self, keys: tuple[str, ...], value: object) -> None:
        """Write another value into the text, None for none, and leave the rest of it as it is. Raises PersistError."""
        raise PersistError(f"{self.name} cannot be written to")

    @abstractmethod
    async def _read(self) -> str:
        """The text. Raises ConfigErrors, DiscoveryError or OSError."""

    @abstractmethod
    def _moments(self) -> AsyncGenerator[None]:
        """Yields at once, and whenever the text may have changed. Raises DiscoveryError or OSError."""

    def _refused(self, reason: str) -> ConfigErrors:
        named = reason.startswith(self.name)
        return ConfigErrors([Problem("" if named else self.name, reason)])


def _reason(error: Exception) -> str:
    if isinstance(error, DiscoveryError | OSError):
        return getattr(error, "strerror", None) or str(error)
    return f"{type(error).__name__}: {error}"
