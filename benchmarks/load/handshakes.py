"""HTTPS requests, each over a connection of its own, with a full handshake or a resumed one; every one is checked.

ab cannot resume, and `openssl s_time` has one client and does not wait for TLS 1.3's tickets.
"""

import select
import socket
import ssl
import time
from collections.abc import Iterator

from benchmarks.certificate import NAME
from benchmarks.net import Address

REQUEST = b"GET / HTTP/1.0\r\n\r\n"
PATIENCE = 10.0  # seconds until a run counts as hung
CIPHERS = {
    ssl.TLSVersion.TLSv1_2: "ECDHE-ECDSA-AES256-GCM-SHA384",
    ssl.TLSVersion.TLSv1_3: "TLS_AES_256_GCM_SHA384",
}
"""What servers choose by themselves, and have to, so that all do the same work."""


def run(address: Address, count: int, clients: int, *, version: ssl.TLSVersion, resumed: bool) -> float:
    """Makes `count` connections, `clients` at once; connections per second.

    Args:
        version: that is spoken.
        resumed: all connections offer the ticket of one that was made before the clock runs.

    Raises:
        ConnectionError: an answer was wrong, or none came; or the handshake was not of the kind that was asked for.
        OSError: a handshake failed; ssl.SSLEOFError: a connection was cut off without close_notify.
    """
    context = _context(version)
    session = _session(address, context) if resumed else None
    poller = select.epoll()
    talks: dict[int, tuple[ssl.SSLSocket, Iterator[None]]] = {}

    def begin() -> None:
        sock = _connected(address, context, session)
        sock.setblocking(False)
        poller.register(sock, select.EPOLLIN)
        talks[sock.fileno()] = sock, _talk(sock, resumed)
        go_on(sock.fileno())

    def go_on(fd: int) -> None:
        sock, talk = talks[fd]
        try:
            next(talk)
        except StopIteration:
            del talks[fd]
            sock.close()

    begun = 0
    started = time.perf_counter()
    try:
        while begun < count or talks:
            while begun < count and len(talks) < clients:
                begun += 1
                begin()
            events = poller.poll(PATIENCE) if talks else []
            if talks and not events:
                raise ConnectionError(f"{address} left {len(talks)} of {begun} connections without an answer")
            for fd, _ in events:
                go_on(fd)
        return count / (time.perf_counter() - started)
    finally:
        for sock, _ in talks.values():
            sock.close()
        poller.close()


def handshake(sock: ssl.SSLSocket) -> Iterator[None]:
    """Yields whenever a socket that does not block has to wait for bytes of the server."""
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            yield
        else:
            return


def _talk(sock: ssl.SSLSocket, resumed: bool) -> Iterator[None]:
    """Handshake, request, answer, and the end by close_notify from both sides."""
    yield from handshake(sock)
    _check(sock, resumed)
    sock.send(REQUEST)
    answer = b""
    while True:
        try:
            data = sock.recv(4096)
        except ssl.SSLWantReadError:
            yield
            continue
        if not data:
            break
        answer += data
    if not (answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nok")):
        raise ConnectionError(f"{sock.getpeername()} answered {answer!r}")
    sock.unwrap()


def _check(sock: ssl.SSLSocket, resumed: bool) -> None:
    if sock.session_reused != resumed:
        raise ConnectionError(f"{sock.getpeername()}: a handshake that was {'not ' if resumed else ''}resumed")
    cipher = sock.cipher()
    wanted = CIPHERS[sock.context.minimum_version]
    if cipher is None or cipher[0] != wanted:
        raise ConnectionError(f"{sock.getpeername()} chose {cipher}, not {wanted}")


def _session(address: Address, context: ssl.SSLContext) -> ssl.SSLSession:
    """What a connection to the address gets for the next ones: a ticket."""
    with _connected(address, context, None) as sock:
        sock.do_handshake()
        sock.send(REQUEST)
        while sock.recv(4096):
            pass
        session = sock.session
        sock.unwrap()
    if session is None or not session.has_ticket:
        raise ConnectionError(f"{address} gave no ticket")
    return session


def _context(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the server's signature is verified all the same
    context.minimum_version = context.maximum_version = version
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


def _connected(address: Address, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    sock = socket.create_connection(address, timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(
        sock, do_handshake_on_connect=False, suppress_ragged_eofs=False, server_hostname=NAME, session=session
    )
