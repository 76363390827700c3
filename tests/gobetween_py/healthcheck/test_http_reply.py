"""Reading an HTTP reply, however it arrives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.healthcheck.http_reply import MAX_BODY, MAX_HEAD, MAX_REPLY, BadReplyError, Reply


def read(*pieces: bytes, bodiless: bool = False, ends: bool = True) -> Reply:
    """Feed the pieces until the reply is complete, then the end of the stream."""
    reply = Reply(bodiless=bodiless)
    for piece in (*pieces, b"") if ends else pieces:
        if not reply.complete:
            reply.feed(piece)
    return reply


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
REPLIES: list[tuple[bytes, int, bytes]] = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    (b"HTTP/1.1 200 OK\r\ncontent-length:5 \r\n\r\nhello and more", 200, b"hello"),
    (b"HTTP/1.0 503 Service Unavailable\r\n\r\nuntil the end", 503, b"until the end"),
    (b"HTTP/1.1 200\r\n\r\n", 200, b""),
    (b"HTTP/1.1 200 OK\n\nbare line feeds", 200, b"bare line feeds"),
    (CHUNKED + b"5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", 200, b"hello!"),
    (CHUNKED.replace(b"chunked", b"CHUNKED\r\nContent-Length: 3") + b"A\r\n0123456789\r\n0\r\n", 200, b"0123456789"),
    (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204, b""),
    (INTERIM + b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx", 404, b"x"),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00", 101, b""),
]


@pytest.mark.parametrize(("data", "status", "body"), REPLIES)
def test_status_and_body(data: bytes, status: int, body: bytes) -> None:
    reply = read(data)
    assert (reply.status, reply.body, reply.complete) == (status, body, True)


@given(st.sampled_from(REPLIES), st.data())
def test_it_is_the_same_in_any_pieces(case: tuple[bytes, int, bytes], data: st.DataObject) -> None:
    text, status, body = case
    cuts = sorted(data.draw(st.lists(st.integers(1, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True) if a < b]
    reply = read(*pieces)
    assert (reply.status, reply.body) == (status, body)


def test_the_answer_to_head_has_no_body_whatever_its_headers_say() -> None:
    reply = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", bodiless=True, ends=False)
    assert reply.complete


def test_the_status_is_known_before_the_headers_end() -> None:
    reply = read(b"HTTP/1.1 302 Found\r\nLocation", ends=False)
    assert (reply.status, reply.complete) == (302, False)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", CHUNKED + b"ffffff\r\n"])
def test_a_long_body_is_looked_at_in_part(head: bytes) -> None:
    reply = read(head, *[b"x" * 10_000] * 10, ends=False)
    assert reply.complete
    assert reply.body == b"x" * MAX_BODY


@pytest.mark.parametrize(
    ("start", "endless"),
    [(INTERIM, INTERIM), (CHUNKED, b"1;" + b"x" * 30_000 + b"\r\n!\r\n")],
)
def test_interim_replies_and_chunks_do_not_go_on_for_ever(start: bytes, endless: bytes) -> None:
    with pytest.raises(BadReplyError, match=r"^interim replies or chunks of more than 1 MiB$"):
        read(start, *[endless] * (MAX_REPLY // len(endless) + 1), ends=False)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed without a reply"),
        (b"HTTP/1.1 20", "closed without a reply"),
        (b"+PONG\r\n", r"no HTTP reply: b'\+PONG"),
        (b"HTTP/2 200\r\n\r\n", "no HTTP reply"),
        (b"HTTP/1.1 99 No\r\n\r\n", "no HTTP reply"),
        (b"SSH-2.0-OpenSSH", "no HTTP reply"),
        (b"\x15\x03\x01", "no HTTP reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "closed in the middle of the reply"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "closed in the middle of the reply"),
        (CHUNKED + b"5\r\nhello\r\n", "closed in the middle of the reply"),
        (CHUNKED + b"hello\r\n", "no size of a chunk"),
        (CHUNKED + b"-5\r\nhello\r\n", "no size of a chunk"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", "Content-Length: b'many'"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * MAX_HEAD, "headers of more than"),
        (b"HTTP/1.1 200 " + b"x" * MAX_HEAD, "no HTTP reply"),
    ],
)
def test_what_is_no_reply_is_said_to_be_none(data: bytes, reason: str) -> None:
    with pytest.raises(BadReplyError, match=reason):
        read(data)


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_anything_else_that_arrives_is_a_reply_or_is_none(pieces: list[bytes]) -> None:
    try:
        reply = read(*[piece for piece in pieces if piece])
    except BadReplyError:
        return
    assert reply.complete


@given(st.binary(max_size=200), st.booleans())
def test_anything_after_a_status_line_is_a_reply_or_is_none(data: bytes, chunked: bool) -> None:
    head = CHUNKED if chunked else b"HTTP/1.1 200 OK\r\n"
    try:
        read(head, *[data[i : i + 7] for i in range(0, len(data), 7)])
    except BadReplyError:
        return
