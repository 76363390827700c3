import pytest

from gobetween_py.config import Config, ConfigErrors, load
from gobetween_py.config.checks import NO_EFFECT, RISKS, worth_a_warning
from gobetween_py.config.validate import Validation, build

STATIC = {"kind": "static", "static_list": ["127.0.0.1:8000"]}
TLS = {"cert_path": "cert.pem", "key_path": "key.pem"}


def server(**keys: object) -> dict[str, object]:
    return {"bind": "127.0.0.1:3000", "discovery": STATIC} | keys


def test_acme_hosts_need_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gobetween_py.config.checks.find_spec", lambda name: None)
    data = {"acme": {}, "servers": {"a": server(protocol="tls", tls={"acme_hosts": ["example.com"]})}}
    with pytest.raises(ConfigErrors) as refused:
        build(data)
    [problem] = map(str, refused.value.problems)
    assert problem == "servers.a.tls.acme_hosts: needs the Python package 'acme': pip install 'pygobetween[acme]'"
    build({"acme": {}})


def test_acme_challenges_have_an_address_of_their_own_where_they_come_by_http() -> None:
    servers = {"a": server(bind=":80")}
    with pytest.raises(ConfigErrors, match=r"servers.a.bind: ':80' is taken: acme.http_bind is '0.0.0.0:80'"):
        build({"acme": {}, "servers": servers})
    build({"acme": {"challenge": "tls-alpn"}, "servers": servers})


@pytest.mark.parametrize(("folder", "warned"), [({}, True), ({"cache_dir": "/var/lib/acme"}, False)])
def test_a_cache_that_is_emptied_by_itself_is_warned_of(folder: dict[str, str], warned: bool) -> None:
    _, warnings = build({"acme": folder})
    assert [warning.path for warning in warnings] == ["acme.cache_dir"] * warned


def test_what_is_switched_off_is_accepted() -> None:
    off = {"enabled": False}
    build({"api": off, "metrics": off, "profiler": off, "servers": {"a": server(healthcheck={"kind": "none"})}})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"tls": TLS}, ["servers.a.tls: has no effect unless protocol is 'tls'"]),
        ({"udp": {"max_requests": 1}}, ["servers.a.udp: has no effect unless protocol is 'udp'"]),
        (
            {"protocol": "udp", "udp": {"max_requests": 1}, "sni": {}},
            ["servers.a.sni: has no effect when protocol is 'udp'"],
        ),
        (
            {"protocol": "tls", "tls": TLS | {"prefer_server_ciphers": True}},
            ["servers.a.tls.prefer_server_ciphers: has no effect"],
        ),
        (
            {"protocol": "tls", "tls": TLS | {"client_ca_path": "ca.pem"}},
            ["servers.a.tls.client_ca_path: has no effect while client_auth is 'none'"],
        ),
        (
            {"backends_tls": {"prefer_server_ciphers": True}},
            ["servers.a.backends_tls.prefer_server_ciphers: has no effect on connections to backends"],
        ),
        (
            {"balance": "iphash", "healthcheck": {"slow_start": "1s"}},
            ["servers.a.healthcheck: slow_start has no effect with this balance"],
        ),
        ({"balance": "leastconn", "healthcheck": {"slow_start": "1s"}}, []),
        ({}, []),
    ],
)
def test_what_has_no_effect_is_warned_of(keys: dict[str, object], expected: list[str]) -> None:
    run = Validation()
    run.section(Config, {"servers": {"a": server(**keys)}})
    assert not run.problems
    assert [str(problem) for problem in worth_a_warning(run.built)] == expected


def test_every_row_worth_a_warning_is_for_a_key_of_its_section() -> None:
    for row in [*NO_EFFECT.values(), *RISKS.values()]:
        assert not row.key or row.key in row.section.model_fields


def test_warnings_go_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    load('[servers.a]\nbind = ":0"\nudp = {}\ndiscovery = { kind = "static", static_list = [] }')
    assert caplog.messages == ["servers.a.udp: has no effect unless protocol is 'udp'"]


def test_listeners_beside_the_servers_may_not_take_their_addresses() -> None:
    data = {"api": {"enabled": True, "bind": "127.0.0.1:3000"}, "servers": {"a": server()}}
    with pytest.raises(ConfigErrors) as refused:
        build(data)
    assert str(refused.value.problems[0]) == ("servers.a.bind: '127.0.0.1:3000' is taken: api.bind is '127.0.0.1:3000'")


def test_tcp_and_udp_have_ports_of_their_own_and_tls_none() -> None:
    def clash(one: str, other: str) -> bool:
        run = {"tls": TLS, "udp": {"max_requests": 1}}
        servers = {"a": server(protocol=one, **run), "b": server(protocol=other, **run)}
        try:
            build({"servers": servers})
        except ConfigErrors as errors:
            return "is taken" in str(errors)
        return False

    assert clash("tcp", "tls")
    assert clash("udp", "udp")
    assert not clash("tcp", "udp")


@pytest.mark.parametrize(
    "data",
    [
        {"servers": {"a": server(tls={"acme_hosts": 5})}},
        {"servers": {"a": server(bind=5)}},
        {"servers": {"a": server(protocol="tsl", sni={}, tls=TLS, healthcheck={"kind": "pong"})}},
        {"servers": {"a": server(backends_tls={"prefer_server_ciphers": 5})}},
        {"api": {"enabled": "yes"}, "metrics": {"enabled": True, "bind": 5}, "acme": {"challenge": 5}},
    ],
)
def test_checks_say_nothing_of_keys_that_are_wrong(data: object) -> None:
    with pytest.raises(ConfigErrors) as refused:
        build(data)
    paths = [problem.path for problem in refused.value.problems]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(("bind", "warned"), [(":6060", True), ("192.0.2.1:6060", True), ("[::1]:6060", False)])
def test_a_profiler_that_others_reach_is_warned_of(bind: str, warned: bool) -> None:
    _, warnings = build({"profiler": {"enabled": True, "bind": bind}})
    assert [warning.path for warning in warnings] == ["profiler.bind"] * warned


def test_the_profiler_is_for_this_machine_unless_told_otherwise() -> None:
    config, warnings = build({"profiler": {"enabled": True}})
    assert str(config.profiler.bind) == "127.0.0.1:6060"
    assert not warnings
