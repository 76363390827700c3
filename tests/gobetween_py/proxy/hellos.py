"""ClientHellos: those of OpenSSL, and others that are put together here."""

import ssl


def openssl(name: str | None, *protocols: str, highest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = highest
    if protocols:
        context.set_alpn_protocols(list(protocols))
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("a handshake with nobody")


def sized(data: bytes, size: int) -> bytes:
    """With its length before it, in so many bytes."""
    return len(data).to_bytes(size) + data


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2) + sized(data, 2)


def server_name(name: bytes) -> bytes:
    return extension(0, sized(b"\0" + sized(name, 2), 2))


def alpn(*protocols: bytes) -> bytes:
    return extension(16, sized(b"".join(sized(protocol, 1) for protocol in protocols), 2))


def message(*extensions: bytes, suites: bytes = b"\x13\x01") -> bytes:
    """A handshake message with these extensions."""
    body = b"\3\3" + bytes(32) + sized(bytes(32), 1) + sized(suites, 2) + sized(b"\0", 1)
    return b"\1" + sized(body + sized(b"".join(extensions), 2), 3)


def records(handshake: bytes, size: int = 16_384) -> bytes:
    """In records of so many bytes."""
    parts = [handshake[at : at + size] for at in range(0, len(handshake), size)]
    return b"".join(b"\x16\3\1" + sized(part, 2) for part in parts)


GREASE = [bytes([n << 4 | 10] * 2) for n in range(16)]
"""Values that mean nothing (RFC 8701), so that servers do not get used to those that do."""


def greased(name: bytes) -> bytes:
    """As browsers send it: GREASE before, between and after everything."""
    mixed = [extension(int.from_bytes(value), b"\0" * n) for n, value in enumerate(GREASE)]
    return records(
        message(
            *mixed[:5], server_name(name), *mixed[5:10], alpn(GREASE[0], b"h2"), *mixed[10:], suites=b"".join(GREASE)
        )
    )
