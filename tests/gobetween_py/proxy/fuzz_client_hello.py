"""Hostile ClientHellos: `python -m tests.gobetween_py.proxy.fuzz_client_hello [COUNT]`, a million unless it says less.

Real hellos with bytes changed, taken out, put in and doubled, lengths pushed up and down, cut into records and read in
pieces; and random bytes. Each gives a hello, or NoHelloError, or is incomplete; read in pieces it gives the same as
read at once; and none hangs.
"""

import os
import random
import sys
import time
from dataclasses import dataclass

from gobetween_py.proxy.client_hello import LARGEST, ClientHello, HelloReader, NoHelloError
from tests.gobetween_py.proxy.hellos import alpn, extension, greased, message, openssl, records, server_name

SEEDS = [
    openssl("www.example.com", "h2", "http/1.1"),
    openssl(None),
    greased(b"grease.example.com"),
    records(message(server_name(b"a.example"), alpn(b"h2"))),
    records(message(server_name(b"a.example"), alpn(b"h2")), 7),
    records(message(extension(21, bytes(2000)), server_name(b"padded.example"))),
]
SLOW = 1.0
"""Seconds of CPU for one input that count as a hang."""


@dataclass
class Found:
    """What became of the inputs."""

    inputs: int = 0
    hellos: int = 0
    refused: int = 0
    incomplete: int = 0
    slowest: float = 0.0

    def __str__(self) -> str:
        return (
            f"ClientHellos fuzzed: {self.inputs:,}; {self.hellos:,} hellos, {self.refused:,} refused, "
            f"{self.incomplete:,} incomplete, none crashed; the slowest took {self.slowest * 1000:.1f} ms of CPU"
        )


def count() -> int:
    """Inputs of a run within the tests."""
    return int(os.environ.get("FUZZ", "30000"))


def run(inputs: int, seed: int = 1) -> Found:
    """Fuzz; an AssertionError or another exception is a defect, and names its input."""
    draw, found = random.Random(seed), Found()
    for _ in range(inputs):
        data = _input(draw)
        begun = time.thread_time()
        try:
            result = _outcome(data)
            if draw.random() < 0.2:
                assert _in_pieces(data, draw) == result
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}, with {data.hex()}") from error
        found.slowest = max(found.slowest, time.thread_time() - begun)
        assert found.slowest < SLOW, data.hex()
        found.inputs += 1
        if isinstance(result, ClientHello):
            found.hellos += 1
            assert len(result.name) <= 255
        elif result is None:
            found.incomplete += 1
        else:
            found.refused += 1
    return found


def _outcome(data: bytes) -> ClientHello | str | None:
    try:
        return HelloReader().read(data)
    except NoHelloError:
        return "refused"


def _in_pieces(data: bytes, draw: random.Random) -> ClientHello | str | None:
    """What comes first is what counts: a hello that is whole is not spoilt by what follows."""
    reader, end = HelloReader(), 0
    try:
        while end < len(data):
            end = min(len(data), end + draw.randrange(1, 1 + len(data) // 4 + 1))
            hello = reader.read(data[:end])
            if hello is not None:
                return hello
    except NoHelloError:
        return "refused"
    return None


def _input(draw: random.Random) -> bytes:
    if draw.random() < 0.05:
        return draw.randbytes(draw.randrange(200))
    data = bytearray(draw.choice(SEEDS))
    for _ in range(draw.randrange(5)):
        _change(data, draw)
    if draw.random() < 0.1:
        del data[draw.randrange(len(data) + 1) :]
    return bytes(data[:LARGEST])


def _change(data: bytearray, draw: random.Random) -> None:
    if not data:
        return
    # Lengths stand everywhere, and most of what can go wrong begins with one.
    at = draw.randrange(len(data)) if draw.random() < 0.5 else draw.randrange(min(len(data), 120))
    match draw.randrange(6):
        case 0:
            data[at] = draw.randrange(256)
        case 1:
            data[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 2:
            data[at] = (data[at] + draw.choice((-1, 1))) & 255
        case 3:
            del data[at : at + draw.randrange(1, 20)]
        case 4:
            data[at:at] = draw.randbytes(draw.randrange(1, 20))
        case _:
            data[at:at] = data[at : at + draw.randrange(1, 200)]


if __name__ == "__main__":
    print(run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
