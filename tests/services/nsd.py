"""NSD: an authoritative name server whose zones a test writes."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from tests.services import apt
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

_CONFIG = """
server:
  ip-address: {host}@{port}
  server-count: 1
  username: ""
  chroot: ""
  zonesdir: "{folder}"
  pidfile: "{folder}/pid"
  xfrdfile: "{folder}/xfrd.state"
  xfrdir: "{folder}"
  zonelistfile: "{folder}/zone.list"
  database: ""
  minimal-responses: {minimal}
  ipv4-edns-size: 4096
  rrl-ratelimit: 0
  rrl-whitelist-ratelimit: 0
remote-control:
  control-enable: yes
  control-interface: {folder}/control
pattern:
  name: "written"
  zonefile: "%s.zone"
"""


class Nsd(Server):
    """Serves over UDP and TCP on one port; it knows its zones again after a restart.

    Args:
        minimal_responses: leaves out the additional section, so that a client must look addresses up itself.
    """

    name = "nsd"

    def __init__(self, *, minimal_responses: bool = False) -> None:
        super().__init__()
        self.port = free_port()
        self.minimal_responses = minimal_responses
        self._serial = 0
        self._zones: dict[str, str] = {}  # what each answers: see _state()

    @property
    def host(self) -> str:
        """`srv_lookup_server` of a config: "host:port"."""
        return f"{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("nsd", "nsd")
        minimal = "yes" if self.minimal_responses else "no"
        self._config.write_text(_CONFIG.format(host=LOOPBACK, port=self.port, folder=self.folder, minimal=minimal))
        return [binary, "-d", "-c", self._config]

    def answers(self) -> bool:
        if self._control("status").returncode != 0:
            return False
        return all(self._state(zone) == state for zone, state in {**self._zones, ".": "REFUSED"}.items())

    def write_zone(self, zone: str, records: Iterable[str]) -> None:
        """Serves these records as the whole of a zone, and returns when they are what is answered.

        Args:
            zone: its name without a dot at the end, for instance "example.test".
            records: lines of a zone file, names relative to the zone, TTL 1 s if none is given; SOA and NS are added.

        Raises:
            ValueError: NSD refuses the records; the message says why.
        """
        self._serial += 1
        head = [f"$ORIGIN {zone}.", "$TTL 1", f"@ SOA ns hostmaster {self._serial} 3600 600 86400 1"]
        file = self.folder / "checked"
        file.write_text("\n".join([*head, "@ NS ns", f"ns A {LOOPBACK}", *records, ""]))
        self._check(zone, file)
        file.rename(self._zone_file(zone))
        self._change(zone, str(self._serial))

    def write_broken_zone(self, zone: str) -> None:
        """Has a zone without data: every query in it is answered SERVFAIL."""
        self.delete_zone(zone)
        self._change(zone, "SERVFAIL")

    def delete_zone(self, zone: str) -> None:
        """Forgets a zone, if it is known: queries in it are answered REFUSED."""
        if zone in self._zones:
            self._run("delzone", zone)
            self._zone_file(zone).unlink(missing_ok=True)
            self._zones[zone] = "REFUSED"
            self.wait_until_it_answers()
            del self._zones[zone]

    def _change(self, zone: str, state: str) -> None:
        if zone in self._zones:
            self._run("reload", zone)
        else:
            self._run("addzone", zone, "written")
        self._zones[zone] = state
        self.wait_until_it_answers()

    def _state(self, zone: str) -> str:
        """Serial of the zone as it is served, or the response code (RFC 1035, 4.1.1) where it has no data."""
        query = dns.message.make_query(zone, dns.rdatatype.SOA)
        try:
            answer = dns.query.udp(query, LOOPBACK, port=self.port, timeout=1)
        except dns.exception.Timeout as error:
            raise ConnectionError("no answer") from error
        return str(answer.answer[0][0].serial) if answer.answer else dns.rcode.to_text(answer.rcode())

    def _zone_file(self, zone: str) -> Path:
        return self.folder / f"{zone}.zone"

    def _check(self, zone: str, file: Path) -> None:
        command = [apt.command("nsd-checkzone", "nsd"), zone, str(file)]
        checked = subprocess.run(command, capture_output=True, text=True, check=False)
        if checked.returncode != 0:
            raise ValueError(checked.stdout + checked.stderr)

    def _run(self, *arguments: str) -> None:
        done = self._control(*arguments)
        if done.returncode != 0:
            raise RuntimeError(f"nsd-control {' '.join(arguments)}: {done.stdout}{done.stderr}")

    @property
    def _config(self) -> Path:
        return self.folder / "nsd.conf"

    def _control(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [apt.command("nsd-control", "nsd"), "-c", self._config, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)
