"""Consul: a dev agent, one with ACL, one with mTLS, and a cluster, as they behave in the field."""

import ssl
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services.consul import Consul, ConsulCluster
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.process import LOOPBACK


def _ports(consul: Consul, name: str, query: str = "") -> list[int]:
    return sorted(entry["Service"]["Port"] for entry in consul.api.get(f"/v1/health/service/{name}?{query}"))


def test_instances_come_and_go(consul: Consul) -> None:
    first = consul.register("web", 1001, Tags=["blue"], Meta={"zone": "a"}, Weights={"Passing": 7, "Warning": 2})
    consul.register("web", 1002)
    (entry,) = consul.api.get("/v1/health/service/web?tag=blue")
    assert entry["Service"]["Weights"] == {"Passing": 7, "Warning": 2}
    assert entry["Service"]["Meta"] == {"zone": "a"}
    assert entry["Service"]["Address"] == LOOPBACK
    assert _ports(consul, "web") == [1001, 1002]
    consul.deregister(first)
    assert _ports(consul, "web") == [1002]


def test_the_status_of_an_instance_is_set(consul: Consul) -> None:
    instance = consul.register("web", 1001, status="passing")
    assert _ports(consul, "web", "passing") == [1001]
    consul.set_status(instance, "critical")
    assert _ports(consul, "web", "passing") == []
    assert _ports(consul, "web") == [1001]


def test_an_external_service_has_the_address_of_its_node(consul: Consul) -> None:
    consul.register_external("outside", "127.0.0.9", [{"Service": "db", "Port": 5432}])
    (entry,) = consul.api.get("/v1/health/service/db")
    assert entry["Service"]["Address"] == ""
    assert entry["Node"]["Address"] == "127.0.0.9"


def test_a_killed_agent_starts_again_empty(consul: Consul) -> None:
    consul.register("web", 1001)
    consul.kill()
    consul.start()
    assert _ports(consul, "web") == []


def test_acl_hides_services_from_a_client_without_a_token(serve: Serve) -> None:
    """Health without a token is 200 with an empty list; a token that does not exist is refused."""
    consul = serve(Consul(acl=True))
    consul.register("web", 1001)
    reader = consul.create_token('service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }')

    def health(token: str) -> list[object]:
        api = JsonApi(LOOPBACK, consul.port, headers={"X-Consul-Token": token})
        answer: list[object] = api.get("/v1/health/service/web")
        return answer

    assert len(health(reader)) == 1
    assert health("") == []
    with pytest.raises(ApiError) as refused:
        health("00000000-0000-0000-0000-000000000001")
    assert refused.value.status == 403


def test_tls_needs_a_client_certificate(serve: Serve) -> None:
    consul = serve(Consul(acl=True, tls=True))
    consul.register("web", 1001)
    assert _ports(consul, "web") == [1001]
    stranger = JsonApi(LOOPBACK, consul.port, ssl.create_default_context(cafile=consul.ca))
    with pytest.raises(ssl.SSLError):
        stranger.get("/v1/status/leader")
    assert all(path.exists() for path in (consul.ca, consul.certificate, consul.key))


def test_a_cluster_that_loses_its_leader_elects_another(consul_cluster: ConsulCluster) -> None:
    """Meanwhile consistent reads fail and stale ones answer."""
    consul_cluster.servers[0].register("web", 1001)
    old = consul_cluster.kill_leader()
    left = next(server for server in consul_cluster.servers if server is not old)
    with pytest.raises(ApiError) as refused:
        left.api.get("/v1/health/service/web?consistent")
    assert refused.value.status == 500
    assert left.api.get("/v1/catalog/nodes?stale")
    new = consul_cluster.wait_for_leader()
    assert new is not old
    old.start()
    assert consul_cluster.wait_for_leader(peers=3) is not None


def test_a_closed_cluster_leaves_no_process() -> None:
    cluster = ConsulCluster().start()
    pids = [server.pid for server in cluster.servers]
    cluster.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
