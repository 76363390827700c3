"""Just enough of an HTTP/1 reply (RFC 9112) for a check: the status, and a bounded part of the body.

Pure: it is fed what arrives, and says when it has seen enough.
"""

import re

MAX_HEAD = 32_768
"""Bytes that status line and headers may have."""
MAX_BODY = 65_536
"""Bytes of the body that are looked at."""
MAX_REPLY = 1_048_576
"""Bytes that may come until enough is seen; interim replies and the framing of chunks could go on for ever."""

_STATUS = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_CHUNK = re.compile(rb"(?:\r?\n)?([0-9a-fA-F]{1,8})[ \t]*(?:;[^\n]*)?\r?\n")


class BadReplyError(Exception):
    """What came is no HTTP/1 reply."""


class Reply:
    """One reply, as it arrives. Interim ones (1xx) before it are passed over.

    Args:
        bodiless: no body follows the head, as after HEAD.
    """

    def __init__(self, *, bodiless: bool = False) -> None:
        self.status = 0
        """0 until the status line is there."""
        self.body = b""
        """What came of it so far, chunks joined."""
        self.complete = False
        """Nothing more is needed: it is all there, or MAX_BODY bytes of it."""
        self._bodiless = bodiless
        self._data = bytearray()
        self._fed = 0
        self._head_done = False
        self._chunked = False
        self._left: int | None = None  # bytes of the body or of the current chunk; None = until the stream ends

    def feed(self, data: bytes) -> None:
        """Some more bytes; b"" at the end of the stream. Raises BadReplyError."""
        self._data += data
        self._fed += len(data)
        if not self._head_done:
            self._read_head()
        if self._head_done and not self.complete:
            self._read_chunks() if self._chunked else self._read_body()
        if self._fed > MAX_REPLY and not self.complete:
            raise BadReplyError(f"interim replies or chunks of more than {MAX_REPLY >> 20} MiB")
        if not data and not self.complete:
            if self._left is not None or self._chunked or not self._head_done:
                raise BadReplyError("closed in the middle of the reply" if self.status else "closed without a reply")
            self.complete = True

    def _read_head(self) -> None:
        while True:
            status = _STATUS.match(self._data)
            if status is None:
                if b"\n" in self._data[:MAX_HEAD] or len(self._data) >= MAX_HEAD or not _may_be(self._data):
                    raise BadReplyError(f"no HTTP reply: {bytes(self._data[:40])!r}")
                return
            end = _END_OF_HEAD.search(self._data, status.end() - 2)
            interim = status[1].startswith(b"1") and status[1] != b"101"
            if not interim:
                self.status = int(status[1])
            if end is None:
                if len(self._data) > MAX_HEAD:
                    raise BadReplyError(f"headers of more than {MAX_HEAD} bytes")
                return
            head = bytes(self._data[status.end() : end.start()])
            del self._data[: end.end()]
            if not interim:
                self._head_done = True
                self._frame(head)
                return

    def _frame(self, head: bytes) -> None:
        """How the body's end is told (RFC 9112, 6.3)."""
        headers: dict[bytes, bytes] = {}
        for line in head.splitlines():
            name, _, value = line.partition(b":")
            headers.setdefault(name.strip().lower(), value.strip().lower())
        if self._bodiless or self.status in (101, 204, 304):
            self.complete = True
        elif headers.get(b"transfer-encoding", b"identity") != b"identity":
            self._chunked, self._left = True, 0
        elif b"content-length" in headers:
            length = headers[b"content-length"]
            if not length.isdigit():
                raise BadReplyError(f"Content-Length: {length[:40]!r}")
            self._left = int(length[:18])
        else:
            self._left = None

    def _read_body(self) -> None:
        part = bytes(self._data if self._left is None else self._data[: self._left])
        self._data.clear()
        self._take(part)
        if self._left is not None:
            self._left -= len(part)
            self.complete = self.complete or self._left == 0

    def _read_chunks(self) -> None:
        while not self.complete:
            if self._left:
                part = bytes(self._data[: self._left])
                if not part:
                    return
                del self._data[: len(part)]
                self._left -= len(part)
                self._take(part)
                continue
            size = _CHUNK.match(self._data)
            if size is None:
                if b"\n" in self._data.lstrip(b"\r\n") or len(self._data) > MAX_HEAD:
                    raise BadReplyError(f"no size of a chunk: {bytes(self._data[:40])!r}")
                return
            self._left = int(size[1], 16)
            del self._data[: size.end()]
            self.complete = self._left == 0

    def _take(self, part: bytes) -> None:
        self.body = (self.body + part)[:MAX_BODY]
        self.complete = len(self.body) == MAX_BODY


def _may_be(data: bytearray) -> bool:
    """Whether a cut-off status line may still become one."""
    start = b"HTTP/1."
    return data[: len(start)] == start[: len(data)]
