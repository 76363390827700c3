"""rsyslog: takes lines over a UNIX socket and over UDP, and writes what it makes of them."""

from collections.abc import Sequence
from pathlib import Path

from tests.services import apt
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

_CONFIG = """
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
input(type="imuxsock" Socket="{socket}")
input(type="imudp" address="{host}" port="{port}")
template(name="parsed" type="string"
  string="%syslogfacility-text% %syslogseverity-text% %programname% %procid% %msg%\\n")
action(type="omfile" file="{parsed}" template="parsed")
"""


class Rsyslog(Server):
    """A daemon of its own, beside that of the machine.

    Attributes:
        socket: of the local form (RFC 3164); `port` is of UDP.
    """

    name = "rsyslog"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.socket = self.folder / "socket"
        self._parsed = self.folder / "parsed"

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("rsyslogd", "rsyslog")
        config = self.folder / "rsyslog.conf"
        config.write_text(_CONFIG.format(socket=self.socket, host=LOOPBACK, port=self.port, parsed=self._parsed))
        return [binary, "-n", "-f", config, "-i", self.folder / "pid"]

    def answers(self) -> bool:
        return self.socket.exists()

    def lines(self) -> list[str]:
        """`facility severity program pid message` of each line that came."""
        text = self._parsed.read_text() if self._parsed.exists() else ""
        return [" ".join(line.split()) for line in text.splitlines()]
