"""etcd 3.4: keys changed through the v3 JSON gateway; a member alone, or a cluster that can lose its leader."""

import base64
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from tests.services import apt
from tests.services.certificates import Certified
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server, Startable, StartError, tcp_answers


class Etcd(Certified, Server):
    """A single member; keeps its keys over a restart.

    Args:
        password: of the user `root`, without whom nothing is answered; None leaves authentication off.
        tls: https for those who show a certificate of `authority`, such as `client`.
    """

    name = "etcd"

    def __init__(self, *, password: str | None = None, tls: bool = False) -> None:
        super().__init__()
        self.port = free_port()
        self.password = password
        self.tls = tls
        self._member = "tests"
        self._peers: Mapping[str, int] = {self._member: free_port()}
        self._has_users = False

    @property
    def url(self) -> str:
        """Base URL without a slash at the end."""
        return f"{'https' if self.tls else 'http'}://{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("etcd", "etcd-server")
        peers = {member: f"http://{LOOPBACK}:{port}" for member, port in self._peers.items()}
        peer = peers[self._member]
        options: dict[str, str | Path] = {
            "name": self._member,
            "data-dir": self.folder / "data",
            "listen-client-urls": self.url,
            "advertise-client-urls": self.url,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": ",".join(f"{member}={url}" for member, url in peers.items()),
            "logger": "zap",
        }
        if self.tls:
            options |= {
                "cert-file": self.own.certificate,
                "key-file": self.own.key,
                "client-cert-auth": "true",
            }
            options |= {"trusted-ca-file": self.authority.ca}
        return [binary, *(f"--{name}={value}" for name, value in options.items())]

    def answers(self) -> bool:
        health: dict[str, str] = self._api().get("/health")
        return health.get("health") == "true"

    def start(self) -> Self:
        super().start()
        if self.password and not self._has_users:
            self._enable_authentication(self.password)
        return self

    @property
    def api(self) -> JsonApi:
        """The v3 gateway with the right to do anything; keys and values are base64 there."""
        if self.password is None:
            return self._api()
        return self._api(
            self._api().post("/v3/auth/authenticate", {"name": "root", "password": self.password})["token"]
        )

    def put(self, key: str, value: str) -> None:
        """Sets a key."""
        self.api.post("/v3/kv/put", {"key": _encode(key), "value": _encode(value)})

    def delete(self, key: str) -> None:
        """Takes a key away."""
        self.api.post("/v3/kv/deleterange", {"key": _encode(key)})

    def get(self, prefix: str) -> dict[str, str]:
        """All keys that begin with `prefix`, which is not empty, and their values."""
        answer = self.api.post("/v3/kv/range", {"key": _encode(prefix), "range_end": _encode(_after(prefix))})
        return {_decode(pair["key"]): _decode(pair.get("value", "")) for pair in answer.get("kvs", [])}

    def compact(self) -> None:
        """Forgets all revisions but the newest: a watch from an older one is cancelled."""
        self.api.post("/v3/kv/compaction", {"revision": self.revision(), "physical": True})

    def revision(self) -> int:
        """The store's newest revision."""
        status: dict[str, Any] = self.api.post("/v3/maintenance/status", {})
        return int(status["header"]["revision"])

    def _api(self, token: str | None = None) -> JsonApi:
        tls = self.authority.context(self.client) if self.tls else None
        return JsonApi(LOOPBACK, self.port, tls, {"Authorization": token} if token else {})

    def _enable_authentication(self, password: str) -> None:
        api = self._api()
        api.post("/v3/auth/user/add", {"name": "root", "password": password})
        api.post("/v3/auth/user/grant", {"user": "root", "role": "root"})
        api.post("/v3/auth/enable", {})
        self._has_users = True


class _Member(Etcd):
    """One of several: it is there before it answers, which takes more than half of them."""

    def __init__(self, member: str, peers: Mapping[str, int]) -> None:
        super().__init__()
        self._member = member
        self._peers = peers

    def command(self) -> Sequence[str | Path]:
        return [*super().command(), "--heartbeat-interval=50", "--election-timeout=500"]

    def answers(self) -> bool:
        return tcp_answers(self._peers[self._member])

    def leads(self) -> bool | None:
        """Whether it is the leader; None when it knows of none."""
        try:
            status = self.api.post("/v3/maintenance/status", {})
        except (ApiError, OSError):
            return None
        leader = status.get("leader", "0")
        return None if leader == "0" else leader == status["header"]["member_id"]


class EtcdCluster(Startable):
    """Three members, one of them the leader; they keep their keys over a restart."""

    name: ClassVar[str] = "etcd cluster"
    patience = 60.0
    """Seconds until it must have a leader."""

    def __init__(self) -> None:
        peers = {f"m{number}": free_port() for number in (1, 2, 3)}
        self.members = [_Member(member, peers) for member in peers]

    @property
    def urls(self) -> list[str]:
        """Of each member."""
        return [member.url for member in self.members]

    def start(self) -> Self:
        for member in self.members:
            member.start()
        self.wait_for_leader()
        return self

    def wait_for_leader(self) -> Etcd:
        """The leader, as soon as all running members know of one."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            running = [member for member in self.members if member.process]
            leads = [member.leads() for member in running]
            if True in leads and None not in leads:
                return running[leads.index(True)]
            time.sleep(0.05)
        raise StartError(f"no leader in {self.patience:g} s; a member's log:\n{self.members[0].log_tail()}")

    def kill_leader(self) -> Etcd:
        """SIGKILL to the leader; returns it, to be started again."""
        leader = self.wait_for_leader()
        leader.kill()
        return leader

    def close(self) -> None:
        for member in self.members:
            member.kill()
            member.close()


def _encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decode(text: str) -> str:
    return base64.b64decode(text).decode()


def _after(prefix: str) -> str:
    """The end of the range of all keys that begin with an ASCII prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
