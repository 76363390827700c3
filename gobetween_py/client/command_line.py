"""What the commands that speak to the API take. Nothing here loads a client: most commands need none."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

DEFAULT = "http://127.0.0.1:8888"
ADDRESS, LOGIN, PASSWORD, TOKEN = (f"PYGOBETWEEN_{name}" for name in ("API", "LOGIN", "PASSWORD", "TOKEN"))
"""Variables of the environment."""

Add = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
"""Adds a command to the command line: its name, what runs it, and what it does in a line."""


class Row(NamedTuple):
    """A command: what it does, and what adds its arguments."""

    help: str
    arguments: Callable[[argparse.ArgumentParser], None]


def _none(_parser: argparse.ArgumentParser) -> None:
    pass


def _of_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER", nargs="?", help="the name of one (default: all)")


def _page(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER")
    parser.add_argument("--backend", metavar="ADDRESS", help="those to this backend")
    parser.add_argument("--client", metavar="IP", help="those of this address or network")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default: %(default)s)")
    parser.add_argument("--after", metavar="ID", help="those that come after this one")


def _backends(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("server", metavar="SERVER")
    parser.add_argument("backend", metavar="BACKEND", nargs="+", help="host:port, as `pygobetween backends` shows it")


def _drain(parser: argparse.ArgumentParser) -> None:
    _backends(parser)
    parser.add_argument(
        "--deadline", metavar="DURATION", help="close what is still open after so long, 5m for instance"
    )
    parser.add_argument("--wait", action="store_true", help="return when the last connection has ended")


def _reload(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--discard", action="store_true", help="drop what was changed over the API and does not stand in the config"
    )


ROWS: dict[str, Row] = {
    "status": Row("Say what runs, and exit with 0 if it is ready, 1 if not.", _none),
    "servers": Row("List the servers.", _none),
    "backends": Row("List the backends.", _of_server),
    "connections": Row("List open connections, the oldest first.", _page),
    "healthchecks": Row("Say what the health checks found.", _of_server),
    "discovery": Row("Say how finding backends goes.", _of_server),
    "drain": Row("Send no new connections to backends; open ones go on.", _drain),
    "maint": Row("Take backends out of service.", _backends),
    "ready": Row("Send connections to backends again.", _backends),
    "reload": Row("Read the config again and apply what differs.", _reload),
}
"""The commands; `commands` carries them out."""


def add_commands(add: Add) -> None:
    """Add all of them to the command line."""
    for name, row in ROWS.items():
        parser = add(name, run, row.help)
        row.arguments(parser)
        parser.add_argument("--json", action="store_true", help="print the answer as JSON")
        where = parser.add_argument_group(
            "the API",
            f"Credentials: files, or {LOGIN} and {PASSWORD}, or {TOKEN} in the environment. A token goes first.",
        )
        where.add_argument(
            "--api",
            default=os.environ.get(ADDRESS, DEFAULT),
            metavar="ADDRESS",
            help=f"http://host:port, https://... or unix:/path (default: ${ADDRESS}, or {DEFAULT})",
        )
        where.add_argument("--login", default=os.environ.get(LOGIN), metavar="NAME")
        where.add_argument("--password-file", type=Path, metavar="FILE", help="its first line is the password")
        where.add_argument("--token-file", type=Path, metavar="FILE", help="its first line is a bearer token")
        where.add_argument("--ca", type=Path, metavar="FILE", help="authorities to trust, instead of the system's")
        where.add_argument("--cert", type=Path, metavar="FILE", help="certificate to show")
        where.add_argument("--key", type=Path, metavar="FILE", help="its key")


def run(chosen: argparse.Namespace) -> int:
    """Carry the chosen command out; its exit status."""
    from gobetween_py.client import commands  # noqa: PLC0415  # an HTTP client takes a while to load

    return commands.run(chosen)
