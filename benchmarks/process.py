"""Programs that a run starts, and stops by their pid whatever happens."""

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.net import Address, wait_for_answer


class StartError(Exception):
    """A program did not come up; the message has its last words."""


@contextmanager
def running(
    command: Sequence[str], *, ready: Mapping[Address, bytes], directory: Path, cpus: frozenset[int] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """The program while the block runs: started (on `cpus` if given), answering each probe of `ready`, then stopped.

    It gets a session of its own, so that Ctrl-C reaches this program alone, which then stops all it started in order.

    Raises:
        StartError: it ended, or one of the addresses did not answer in time.
    """
    log_path = directory / f"{Path(command[0]).name}-{min(ready).port}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command, cwd=_checkout(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    try:
        if cpus:
            os.sched_setaffinity(process.pid, cpus)
        for address, probe in ready.items():
            wrong = wait_for_answer(address, probe, lambda: process.poll() is None)
            if wrong:
                words = log_path.read_text(errors="replace")[-1000:].strip()
                raise StartError(f"{' '.join(command)}: {address} {probe!r}: {wrong}\n{words}")
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the process: SIGTERM, and SIGKILL if it is still there two seconds later."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _checkout() -> Path:
    return Path(__file__).resolve().parent.parent
