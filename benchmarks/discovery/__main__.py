"""`python -m benchmarks.discovery`: what discovery costs, with the real servers."""

import argparse
import dataclasses
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from benchmarks import machine
from benchmarks.discovery import change, many, sources, tables
from benchmarks.discovery.backends import Backends
from benchmarks.discovery.containers import DockerContainers, LxdContainers
from benchmarks.discovery.sources import Source
from tests.services.apt import Unavailable
from tests.services.jsonapi import ApiError
from tests.services.process import StartError

Result = TypeVar("Result")

FAILED = "failed: "

KINDS: dict[str, type[Source]] = {
    kind.name: kind
    for kind in (
        sources.Srv,
        DockerContainers,
        sources.Json,
        sources.Plaintext,
        sources.Exec,
        sources.ConsulInstances,
        LxdContainers,
        sources.Dns,
        sources.FileLines,
        sources.FileJson,
        sources.FileYaml,
        sources.EtcdKeys,
    )
}

LOOK, EVERY = f"{change.PROBE * 1e3:g}", f"{change.INTERVAL:g}"

FEW = 100
"""Backends of an answer that are no burden."""

METHOD = f"""\
A change: one backend goes and another comes. Its time runs from the moment the source is told until a connection is
answered by the new backend; somebody looks every {LOOK} ms. Interval of polled kinds: {EVERY} s.
CPU: of the balancer's process in a window with one change and one connection; idle: the same without the change.
Many: the CPU ends {many.AFTER:g} s after the first connection. Interval of polled kinds: {many.INTERVAL}. The ping-pong
plays in rounds of its own, during the change and just as long before it, at real-time priority (as is the balancer
then); the worst of the rounds is shown, in ms."""


def main() -> int:
    options = _parser().parse_args()
    names = [name.strip() for name in options.kinds.split(";") if name.strip()]
    for name in names:
        if name not in KINDS:
            print(f"benchmarks: {name!r} is none of {'; '.join(KINDS)}", file=sys.stderr)
            return 2
    described = machine.describe({})
    print(*(f"{key}: {described[key]}" for key in ("date", "CPU", "load before", "kernel", "Python")), sep="\n")
    print(f"\n{METHOD}")
    with Backends() as backends:
        changes = _changes(names, backends.port, options.rounds) if options.rounds else {}
        large = _many(names, backends.port, options) if options.count else {}
    if options.json:
        document = {"machine": described, "method": METHOD, "change": changes, "many": large}
        options.json.write_text(json.dumps(document, default=dataclasses.asdict, indent=1, ensure_ascii=False) + "\n")
    return 1 if FAILED in str([changes, large]) else 0


def _changes(names: Sequence[str], port: int, rounds: int) -> dict[str, change.Change | str]:
    """Measures and prints; kind -> what was measured, or why not."""
    print(f"\nFrom a change to the first connection, {rounds} rounds\n{tables.CHANGE_HEAD}", flush=True)
    measured: dict[str, change.Change | str] = {}
    for name in names:
        kind = KINDS[name]
        found = measured[name] = _measured(kind, port, partial(change.measure, rounds=rounds))
        print(
            f"{name:<12} {found}" if isinstance(found, str) else tables.change_row(name, kind.seen, found), flush=True
        )
    return measured


def _many(names: Sequence[str], port: int, options: argparse.Namespace) -> dict[str, object]:
    """Measures and prints; kind -> what was measured, or why not."""
    print(f"\nMany in one answer, {options.many_rounds} rounds, balance {options.balance}")
    print(tables.MANY_HEAD, flush=True)
    measured: dict[str, object] = {}
    for name in names:
        kind = KINDS[name]
        found: list[many.Many] | str = f"not measured: {kind.why_not_more}"
        if kind.most > FEW:
            measure = partial(many.measure, count=options.count, rounds=options.many_rounds, balance=options.balance)
            found = _measured(kind, port, measure)
        measured[name] = found
        rows = [f"{name:<12} {found}"] if isinstance(found, str) else [tables.many_row(name, one) for one in found]
        if kind.most < options.count and kind.most > FEW:
            rows.append(f"{'':<12} no more than {kind.most:,}: {kind.why_not_more}")
        print(*rows, sep="\n", flush=True)
    return measured


def _measured(kind: type[Source], port: int, measure: Callable[[Source], Result]) -> Result | str:
    """What was measured of a source that was started for it; why not, where that did not work."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
        source = kind(port, Path(directory))
        try:
            source.start()
            return measure(source)
        except (Unavailable, StartError) as error:
            return f"not here: {' '.join(str(error).split())[:200]}"
        except (OSError, RuntimeError, ApiError) as error:  # TimeoutError is an OSError
            return f"{FAILED}{error}"
        finally:
            source.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.discovery", description="Measures every kind of discovery with its real server."
    )
    parser.add_argument("--kinds", default="; ".join(KINDS), help="separated by semicolons, of %(default)s")
    parser.add_argument("--rounds", type=int, default=7, help="changes of one backend, 0 for none (%(default)s)")
    parser.add_argument(
        "--count", type=int, default=10_000, help="backends in a large answer, 0 for none (%(default)s)"
    )
    parser.add_argument("--many-rounds", type=int, default=3, help="rounds of the large answers (%(default)s)")
    parser.add_argument("--balance", default="weight", help="algorithm that picks among many (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures")
    return parser


if __name__ == "__main__":
    sys.exit(main())
