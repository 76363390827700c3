"""`python -m benchmarks`: see README.md."""

import argparse
import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from benchmarks import backends, certificate, machine, report
from benchmarks.cases import CASES
from benchmarks.peers import PEERS, Peer, parse_target, targets
from benchmarks.process import StartError
from benchmarks.run import Bench
from benchmarks.summary import Result, summarise

SUBJECT = "pygobetween"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the command line asks for; 0, or 1 with a message when something does not start."""
    options = _parser().parse_args(arguments)
    for number in signal.SIGINT, signal.SIGTERM:
        signal.signal(number, signal.default_int_handler)
    os.environ["PATH"] += ":/usr/local/sbin:/usr/sbin"  # Debian has nginx and haproxy where a user's PATH does not look
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as directory:
            return _run(options, Path(directory))
    except (StartError, ValueError, ConnectionError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        print(f"benchmarks: {error}\n{said}".rstrip(), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("benchmarks: interrupted, everything started was stopped", file=sys.stderr)
        return 130
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures pygobetween beside its peers.")
    parser.add_argument("--cases", default=",".join(CASES), help="comma-separated, of %(default)s")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, of %(default)s")
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        type=parse_target,
        metavar="NAME[/KIND]=HOST:PORT,PID",
        help="measure a program that runs already, in front of the KIND of backend (default: every kind)",
    )
    parser.add_argument("--backends-on", type=int, metavar="PORT", help="first of the fixed ports for the backends")
    parser.add_argument("--serve", action="store_true", help="only run the backends, until Ctrl-C")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each peer in each case (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a measurement (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="two rounds of 0.5 s")
    parser.add_argument("--placement", choices=["shared", "split", "free"], help="for all cases (else as each asks)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw a picture, PNG by its suffix")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the medians as a table")
    return parser


def _run(options: argparse.Namespace, directory: Path) -> int:
    addresses = backends.addresses(options.backends_on)
    certificate.make(directory)
    with backends.serving(addresses, directory) as pids:
        if options.serve:
            return _serve(addresses, pids)
        peers = _available(options)
        rounds, seconds = (2, 0.5) if options.quick else (options.rounds, options.seconds)
        bench = Bench(addresses, pids, directory, rounds, seconds, options.placement, _progress)
        method = _method(rounds, seconds)
        described = machine.describe({peer.name: peer.version() for peer in peers})
        print(report.header(described, method), flush=True)
        results = []
        for name in _chosen(options.cases, CASES):
            case = CASES[name]
            able = [peer for peer in peers if peer.serves(case.kinds) and case.name in (peer.only or CASES)]
            measured = summarise(case.metrics, bench.run(case, able), SUBJECT)
            results.append(Result(case.name, case.title, options.placement or case.placement, measured))
            print("\n" + report.text(results[-1], SUBJECT), flush=True)
    _write(options, described, method, results, [peer.name for peer in peers])
    return 0


def _serve(addresses: backends.Addresses, pids: dict[str, int]) -> int:
    for kind, listening in addresses.items():
        print(f"{kind}: {listening[0]} to {listening[-1]}, pid {pids[kind]}")
    print("Ctrl-C stops them", flush=True)
    signal.pause()
    return 0


def _available(options: argparse.Namespace) -> list[Peer]:
    """The peers and targets that can be measured; what cannot is said on stderr."""
    wanted: list[Peer] = [PEERS[name] for name in _chosen(options.peers, PEERS)]
    wanted += targets(options.target, list(backends.KINDS))
    able = []
    for peer in wanted:
        reason = peer.missing()
        if reason:
            print(f"benchmarks: without {peer.name}: {reason}", file=sys.stderr)
        else:
            able.append(peer)
    if not able:
        raise ValueError("there is nothing to measure")
    return able


def _chosen(names: str, known: Collection[str]) -> list[str]:
    chosen = [name for name in names.split(",") if name]
    for name in chosen:
        if name not in known:
            raise ValueError(f"{name!r} is none of {', '.join(known)}")
    return chosen


def _method(rounds: int, seconds: float) -> list[str]:
    return [
        f"{rounds} rounds, in each every peer in turn for about {seconds:g} s; shown: median, least and greatest.",
        "Ratios: median of the rounds' own ratios. CPU: of the proxy process alone, user and system, by its CPU clock.",
        "(shared): generator, proxy and backends on one CPU. (split): the proxy alone on one, the others on the rest.",
        "Peers: one thread, ten weighted backends, three access rules, timeouts and a connection limit.",
    ]


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{what}", end="\r", file=sys.stderr, flush=True)


def _write(
    options: argparse.Namespace, described: dict[str, str], method: list[str], results: list[Result], peers: list[str]
) -> None:
    if options.json:
        document = {
            "machine": described,
            "method": method,
            "subject": SUBJECT,
            "cases": [dataclasses.asdict(result) for result in results],
        }
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if options.markdown:
        options.markdown.write_text(report.markdown(results, peers, SUBJECT) + "\n")
    if options.chart:
        from benchmarks.chart import draw  # matplotlib is wanted only here

        title = f"{SUBJECT} beside its peers: median and spread, on {described['CPU']}, {described['kernel']}"
        draw(results, SUBJECT, title, options.chart)


if __name__ == "__main__":
    sys.exit(main())
