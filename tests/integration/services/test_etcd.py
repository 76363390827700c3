"""etcd: keys come and go through the v3 gateway; authentication and client certificates where asked."""

import ssl

import pytest

from tests.integration.conftest import Serve
from tests.services.etcd import Etcd, EtcdCluster
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.process import LOOPBACK


def test_keys_come_and_go(etcd: Etcd) -> None:
    etcd.put("/web/1", "127.0.0.1:8001")
    etcd.put("/web/2", "127.0.0.1:8002 weight=2")
    etcd.put("/other", "x")
    assert etcd.get("/web/") == {"/web/1": "127.0.0.1:8001", "/web/2": "127.0.0.1:8002 weight=2"}
    etcd.delete("/web/1")
    assert etcd.get("/web/") == {"/web/2": "127.0.0.1:8002 weight=2"}


def test_keys_outlast_a_kill(etcd: Etcd) -> None:
    etcd.put("/web/1", "kept")
    etcd.kill()
    etcd.start()
    assert etcd.get("/web/") == {"/web/1": "kept"}


def test_a_compacted_revision_is_gone(etcd: Etcd) -> None:
    etcd.put("/web/1", "old")
    old = etcd.revision()
    etcd.put("/web/1", "new")
    etcd.compact()
    with pytest.raises(ApiError, match="compacted"):
        etcd.api.post("/v3/kv/range", {"key": "AA==", "range_end": "AA==", "revision": old})


def test_a_password_is_asked_for(serve: Serve) -> None:
    etcd = serve(Etcd(password="secret"))
    etcd.put("/web/1", "a")
    assert etcd.get("/web/") == {"/web/1": "a"}
    stranger = JsonApi(LOOPBACK, etcd.port)
    with pytest.raises(ApiError, match="user name is empty"):
        stranger.post("/v3/kv/range", {"key": "AA==", "range_end": "AA=="})
    etcd.restart()
    assert etcd.get("/web/") == {"/web/1": "a"}


def test_tls_needs_a_client_certificate(serve: Serve) -> None:
    etcd = serve(Etcd(tls=True))
    etcd.put("/web/1", "a")
    assert etcd.get("/web/") == {"/web/1": "a"}
    stranger = JsonApi(LOOPBACK, etcd.port, etcd.authority.context())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stranger.get("/health")


def test_a_cluster_elects_another_leader(etcd_cluster: EtcdCluster) -> None:
    first, second, _ = etcd_cluster.members
    first.put("/web/1", "a")
    assert second.get("/web/") == {"/web/1": "a"}
    gone = etcd_cluster.kill_leader()
    leader = etcd_cluster.wait_for_leader()
    assert leader is not gone
    leader.put("/web/2", "b")
    gone.start()
    etcd_cluster.wait_for_leader()
    assert gone.get("/web/") == {"/web/1": "a", "/web/2": "b"}
