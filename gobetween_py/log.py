"""Logging as `[logging]` asks: level, output, text or JSON; secrets of the config never get out."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

log = logging.getLogger("pygobetween")

MASK = "***"

OURS = ("pygobetween", "gobetween_py", "discovery", "balancer")
"""Whose loggers may say anything; those of libraries (urllib3, docker, asyncio) tell nothing below info."""

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


class Masking(logging.Filter):
    """Replaces known secrets in messages and traces, whoever logs them.

    Args:
        secrets: passwords and tokens of the config. Shorter than 4 characters they would mangle ordinary words, so such
            a one is left to the typed masking of the config models.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = sorted({secret for secret in secrets if len(secret) >= 4}, key=len, reverse=True)

    def filter(self, record: logging.LogRecord) -> bool:
        if self._secrets:
            record.msg, record.args = self.mask(record.getMessage()), None
            if record.exc_info:
                record.exc_text = self.mask(logging.Formatter().formatException(record.exc_info))
        return True

    def mask(self, text: str) -> str:
        """Return the text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text


class TextFormatter(logging.Formatter):
    """`2026-01-31 12:00:00.123 [WARN] (proxy): message`."""

    def format(self, record: logging.LogRecord) -> str:
        record.level = _level(record).upper()
        record.component = _component(record)
        return super().format(record)

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d [%(level)s] (%(component)s): %(message)s", "%Y-%m-%d %H:%M:%S")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, component, message, trace."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
        line = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": _level(record),
            "component": _component(record),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Lossy(logging.Handler):
    """A handler whose output may be full, or its reader gone: told once on stderr, and in the log when it is over.

    Attributes:
        lost: lines that could not be written since it went well last; the latest of them may still come.
    """

    lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        before = self.lost
        super().emit(record)
        if before and self.lost == before:
            self.lost = 0
            log.warning("the log can be written again; up to %d lines are lost", before)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        error = sys.exception()
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        self.lost += 1
        if self.lost == 1:
            name = getattr(self, "baseFilename", "the log")
            with contextlib.suppress(OSError):
                print(f"pygobetween: {name} cannot be written: {error.strerror}: lines are lost", file=sys.stderr)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what is left of it does not go into a full disk
            super().close()


class LogStream(Lossy, logging.StreamHandler[TextIO]):
    """stdout or stderr."""


class LogFile(Lossy, logging.FileHandler):
    """A file that is appended to."""

    def reopen(self) -> None:
        """Go on with the file that has the name now.

        Raises:
            OSError: it cannot be opened; the one before is written on.
        """
        fresh = self._open()
        with self.lock or contextlib.nullcontext():
            before, self.stream = self.stream, fresh
        if before is not None:
            with contextlib.suppress(OSError):  # what it holds does not go into a full disk
                before.close()


def configure(level: str, output: str, form: str, *, secrets: Iterable[str] = ()) -> None:
    """Set up the root logger.

    Args:
        level: debug, info, warn or error.
        output: stdout, stderr, or the path of a file to append to.
        form: text or json.

    Raises:
        OSError: the file cannot be opened; nothing was changed.
    """
    install(handler_of(output, form, secrets), level)


def handler_of(output: str, form: str, secrets: Iterable[str] = ()) -> logging.Handler:
    """What writes as `configure` says. Raises OSError."""
    handler: logging.Handler
    if output in ("stdout", "stderr"):
        handler = LogStream(getattr(sys, output))
    else:
        handler = LogFile(Path(output), encoding="utf-8")
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(Masking(secrets))
    return handler


def install(handler: logging.Handler, level: str) -> None:
    """Log with this handler from now on, and with no other."""
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(max(LEVELS[level], logging.INFO))
    for name in OURS:
        logging.getLogger(name).setLevel(LEVELS[level])


def reopen() -> None:
    """Open the log file, if the log is one, by its name again."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile):
            try:
                handler.reopen()
            except OSError as error:
                log.error("%s cannot be reopened: %s; it is written on as it was", handler.baseFilename, error.strerror)


def _level(record: logging.LogRecord) -> str:
    return next((name for name, number in reversed(LEVELS.items()) if record.levelno >= number), "debug")


def _component(record: logging.LogRecord) -> str:
    return record.name.removeprefix("pygobetween.")
