"""The command `pygobetween`: what was asked for, and a config or one line for each thing that is wrong with it."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from discovery.duration import parse_duration
from discovery.fields import check_host_port
from discovery.registry import NotAvailableError
from gobetween_py import __version__
from gobetween_py.client.command_line import add_commands
from gobetween_py.config import Config, ConfigErrors, Problem
from gobetween_py.sources.contract import Reading, Source
from gobetween_py.sources.file import FileSource

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status: 0, 1 for what went wrong, 2 for a wrong use of the command line."""
    _open_streams()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a file's name may be any bytes
    parser = _parser()
    chosen = parser.parse_args(arguments)
    command: Command | None = chosen.run or (run_balancer if chosen.config else None)
    if command is None:
        parser.print_help()
        return 0
    return command(chosen)


def _open_streams() -> None:
    """Give a program that was started without stdin, stdout or stderr (`>&-`) such as go nowhere.

    Otherwise a client's socket may get one of their numbers, and what a library prints.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def run_balancer(chosen: argparse.Namespace) -> int:
    """Balances until it is told to stop."""
    read = _read(chosen, sys.stderr.write)
    if read is None:
        return 1
    source, config = read
    from gobetween_py import app  # noqa: PLC0415  # the other commands need none of it

    return app.run(config, source, watch=chosen.watch, pidfile=chosen.pidfile)


def check(chosen: argparse.Namespace) -> int:
    """Prints the verdict on a config."""
    read = _read(chosen, sys.stdout.write)
    if read is None:
        return 1
    source, config = read
    count = len(config.servers)
    print(f"{source.name}: valid, {count} server{'' if count == 1 else 's'}")
    return 0


def schema(_chosen: argparse.Namespace) -> int:
    """Prints the JSON Schema of the config."""
    from gobetween_py.config.schema import config_schema  # noqa: PLC0415  # slow to build, and only needed here

    try:
        print(json.dumps(config_schema(), indent=2), flush=True)
    except BrokenPipeError:  # whoever reads it, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def demo(chosen: argparse.Namespace) -> int:
    """Shows the balancer at work on backends of its own."""
    from gobetween_py import demo as show  # noqa: PLC0415  # the other commands need none of it

    return show.main(chosen.seconds)


def _read(chosen: argparse.Namespace, write: Callable[[str], object]) -> tuple[Source, Config] | None:
    """The source that was chosen, and its config; None when it is wrong, which is then written, a line a problem."""

    def warn(problem: Problem) -> None:
        write(f"warning: {problem}\n")

    async def text(source: Source) -> str:
        try:
            return await source.read()
        finally:
            await source.close()  # another event loop will use it

    try:
        source = _source(chosen)
    except (ValueError, NotAvailableError) as error:
        write(f"pygobetween: {error}\n")
        return None
    try:
        return source, source.config_of(asyncio.run(text(source)), warn)
    except ConfigErrors as errors:
        count = len(errors.problems)
        write(f"{errors}\n{source.name}: {count} error{'' if count == 1 else 's'}\n")
        return None


def _source(chosen: argparse.Namespace) -> Source:
    """Where the config is. Raises ValueError, and NotAvailableError where a Python package is missing."""
    reading = Reading(chosen.format, chosen.environment, chosen.lenient)
    if chosen.command == "from-url":
        from gobetween_py.sources.url import UrlSource  # noqa: PLC0415  # an HTTP client takes a while to load

        return UrlSource(chosen.url, reading, interval=chosen.interval)
    if chosen.command == "from-consul":
        from gobetween_py.sources.consul import ConsulSource  # noqa: PLC0415  # needs a package that may be missing

        return ConsulSource(chosen.host, chosen.key, reading, tls=chosen.scheme == "https")
    if chosen.config is None:
        raise ValueError("which config? Give -c FILE")
    return FileSource(chosen.config, reading)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pygobetween",
        description="A load balancer for TCP and UDP that takes gobetween's config.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=None, command=None)
    parser.add_argument("-v", "--version", action="version", version=f"pygobetween {__version__}")
    _add_options(parser, first=True)
    _add_watch(parser, default=False)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(run=run)
        return command

    from_file = add("from-file", run_balancer, "Run with the config in a file (the same as -c FILE).")
    from_file.add_argument("config", metavar="FILE", type=Path)
    from_url = add("from-url", run_balancer, "Run with the config at a URL.")
    from_url.add_argument("url", metavar="URL")
    from_url.add_argument(
        "--interval",
        type=_interval,
        default="10s",
        metavar="DURATION",
        help="how often --watch looks (default: %(default)s)",
    )
    from_consul = add("from-consul", run_balancer, "Run with the config in Consul's key-value store.")
    from_consul.add_argument("host", metavar="HOST:PORT", type=_host_port)
    from_consul.add_argument("-k", "--key", default="gobetween", help="the key (default: %(default)s)")
    from_consul.add_argument("-s", "--scheme", choices=["http", "https"], default="http")
    for command in (from_file, from_url, from_consul):
        _add_options(command, source=False)
        _add_watch(command, default=argparse.SUPPRESS)
    _add_options(add("check", check, "Say whether a config is right, and exit with 0 or 1."))
    add("schema", schema, "Print the JSON Schema of the config, for editors.")
    seconds = add("demo", demo, "Show the balancer at work on backends of its own.")
    seconds.add_argument("--seconds", type=_seconds, default=20.0, metavar="N", help="how long (default: %(default)g)")
    add_commands(add)
    return parser


def _add_options(parser: argparse.ArgumentParser, *, first: bool = False, source: bool = True) -> None:
    """The options of a run. They may stand before or after the command: the later one counts."""

    def default(value: object) -> object:
        return value if first else argparse.SUPPRESS

    if source:
        parser.add_argument(
            "-c", "--config", type=Path, metavar="FILE", default=default(None), help="run with the config in a file"
        )
    parser.add_argument(
        "-f", "--format", choices=["toml", "json"], default=default(None), help="(default: by the file's name, or toml)"
    )
    parser.add_argument(
        "-p", "--pidfile", type=Path, metavar="FILE", default=default(None), help="write the process id to a file"
    )
    parser.add_argument(
        "-e",
        "--use-config-env-vars",
        dest="environment",
        action="store_true",
        default=default(False),
        help="replace ${NAME} in the config by variables of the environment",
    )
    parser.add_argument(
        "--lenient", action="store_true", default=default(False), help="let unknown keys pass with a warning"
    )


def _add_watch(parser: argparse.ArgumentParser, *, default: object) -> None:
    parser.add_argument(
        "--watch",
        action="store_true",
        default=default,
        help="follow the config: apply what changes in it while running",
    )


def _interval(text: str) -> float:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds < 0.1:
        raise argparse.ArgumentTypeError("must be at least 100ms")
    return seconds


def _host_port(text: str) -> str:
    try:
        return check_host_port(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError("must be greater than 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
