"""probe: sends some bytes and looks at those that come back."""

import asyncio

import pytest

from gobetween_py.healthcheck.contract import CheckFailedError, Target
from gobetween_py.healthcheck.probe import Probe, ProbeOptions
from tests.gobetween_py.healthcheck.sockets import answering, datagrams, refusing, resetting, serving


def probe(**keys: object) -> Probe:
    given = {"interval": "1s", "probe_protocol": "tcp", "probe_send": r"PING\r\n", "probe_recv": "PONG"}
    options = {key: value for key, value in (given | keys).items() if value is not None}
    return Probe(ProbeOptions.model_validate(options))


async def failure(check: Probe, target: Target) -> str:
    with pytest.raises(CheckFailedError) as raised:
        await check.check(target)
    return str(raised.value)


async def test_it_sends_what_the_escapes_stand_for() -> None:
    seen = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readexactly(6))
        writer.write(b"\x00\xffok")

    async with serving(script) as target:
        assert await probe(probe_recv=r"\x00\xff").check(target) == r"answered '\x00\xff'"
    assert seen == b"PING\r\n"


async def test_an_answer_may_come_byte_by_byte() -> None:
    async with serving(answering(*(bytes([byte]) for byte in b"PONG"), ends=False)) as target:
        assert await probe().check(target) == "answered 'PONG'"


async def test_exactly_the_bytes_compared_are_read() -> None:
    """The rest stays in the socket, so that closing it resets the connection: the peer sees that."""
    reset = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(6)
        writer.write(b"PONG and more")
        try:
            await reader.read()
        except ConnectionResetError:
            reset.set()

    async with serving(script) as target:
        assert await probe().check(target) == "answered 'PONG'"
        await asyncio.wait_for(reset.wait(), 10)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ((b"NOPE",), "answered 'NOPE'"),
        ((b"PO",), "closed after 2 of 4 bytes: 'PO'"),
        ((), "closed after 0 of 4 bytes: ''"),
    ],
)
async def test_another_answer_is_a_failure_that_shows_it(pieces: tuple[bytes, ...], words: str) -> None:
    async with serving(answering(*pieces)) as target:
        assert await failure(probe(), target) == words


async def test_a_long_wrong_answer_is_shown_in_part() -> None:
    async with serving(answering(b"x" * 100_000)) as target:
        assert await failure(probe(probe_recv="y" * 100_000), target) == f"answered '{'x' * 40}'..."


async def test_a_reset_is_a_failure() -> None:
    async with serving(resetting) as target:
        assert await failure(probe(), target) == "cannot receive: Connection reset by peer"


@pytest.mark.parametrize(
    ("pattern", "answer", "matches"),
    [
        (r"^\+PONG\r\n$", b"+PONG\r\n", True),
        (r"P.NG", b"a PiNG", True),
        (r"^PONG", b"a PONG", False),
        ("né", "né".encode(), True),
        (r"^..$", b"\xff\xfe", True),
    ],
)
async def test_a_pattern_is_searched_in_what_was_read(pattern: str, answer: bytes, matches: bool) -> None:
    check = probe(probe_strategy="regexp", probe_recv=pattern, probe_recv_len=len(answer))
    async with serving(answering(answer + b"rest")) as target:
        if matches:
            await check.check(target)
        else:
            assert (await failure(check, target)).startswith("answered ")


async def test_a_pattern_needs_as_many_bytes_as_it_says() -> None:
    check = probe(probe_strategy="regexp", probe_recv="P", probe_recv_len=8)
    async with serving(answering(b"PONG")) as target:
        assert await failure(check, target) == "closed after 4 of 8 bytes: 'PONG'"


async def test_udp_answers() -> None:
    async with datagrams(b"PONG and more") as target:
        assert await probe(probe_protocol="udp").check(target) == "answered 'PONG'"


async def test_udp_answers_are_joined() -> None:
    async with datagrams(b"PO", b"", b"NG") as target:
        assert await probe(probe_protocol="udp").check(target) == "answered 'PONG'"


async def test_a_udp_port_that_refuses_is_not_alive() -> None:
    """By the ICMP message that comes back."""
    assert await failure(probe(probe_protocol="udp"), refusing()) == "cannot receive: Connection refused"


async def test_tls_to_a_server_that_speaks_none() -> None:
    async with serving(answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as target:
        assert (await failure(probe(probe_protocol="tls"), target)).startswith("TLS handshake: ")
    async with serving(answering()) as target:
        assert (await failure(probe(probe_protocol="tls"), target)).startswith("TLS handshake: ")
