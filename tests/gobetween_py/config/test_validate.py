"""All errors at once, unknown keys, defaults, and options of other people's kinds."""

from typing import Literal, Self

import pytest
from pydantic import Field, SecretStr, field_validator, model_validator

from discovery import registry
from discovery.contract import Options
from discovery.registry import Kind
from gobetween_py.config import ConfigErrors, Problem
from gobetween_py.config.validate import build

STATIC = {"kind": "static", "static_list": ["127.0.0.1:8000"]}


class PluginOptions(Options):
    """What a third party may declare, with pydantic's usual means."""

    kind: Literal["plugin"] = "plugin"
    plugin_port: int | str = 80
    plugin_levels: list[int] = Field(default_factory=list)
    plugin_token: SecretStr = SecretStr("")
    plugin_low: int = 1
    plugin_high: int = 2

    @field_validator("plugin_levels", mode="after")
    @classmethod
    def _even(cls, levels: list[int]) -> list[int]:
        if any(level % 2 for level in levels):
            raise ValueError("must be even numbers")
        return levels

    @field_validator("plugin_token", mode="after")
    @classmethod
    def _long(cls, token: SecretStr) -> SecretStr:
        if 0 < len(token) < 8:
            raise ValueError(f"{token.get_secret_value()} is too short")
        return token

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.plugin_low > self.plugin_high:
            raise ValueError("plugin_low is above plugin_high")
        return self


class GhostOptions(Options):
    kind: Literal["ghost"] = "ghost"
    ghost_size: int = 1


@pytest.fixture(autouse=True)
def kinds_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two more rows of the registry: a kind that is there, and one that lacks a package."""
    mine: dict[str, type] = {"mine:plugin": PluginOptions, "mine:ghost": GhostOptions}
    its_import = registry._import
    monkeypatch.setattr(registry, "_import", lambda path: mine[path] if path in mine else its_import(path))
    monkeypatch.setitem(registry.KINDS, "plugin", Kind("mine:plugin", "discovery.static:Static"))
    monkeypatch.setitem(registry.KINDS, "ghost", Kind("mine:ghost", "mine:ghost", "ghost", needs=("no_ghost",)))


def server(**keys: object) -> dict[str, object]:
    return {"bind": "127.0.0.1:3000", "discovery": STATIC} | keys


def told(data: object, *, lenient: bool = False) -> list[str]:
    """What is wrong with a config."""
    with pytest.raises(ConfigErrors) as refused:
        build(data, lenient=lenient)
    return [str(problem) for problem in refused.value.problems]


def plugin_told(**keys: object) -> list[str]:
    return [
        text.removeprefix("servers.a.discovery")
        for text in told({"servers": {"a": server(discovery={"kind": "plugin"} | keys)}})
    ]


def test_a_rule_of_a_section_is_told_of_beside_wrong_keys_in_it() -> None:
    """pydantic by itself would leave out the rule until the keys are right."""
    tls = {"cert_path": "a", "min_version": "tls9"}
    assert told({"servers": {"a": server(protocol="tls", tls=tls, connect_attempts=0)}}) == [
        "servers.a.connect_attempts: 0 is out of range; allowed: >= 1",
        "servers.a.tls.min_version: 'tls9' is not allowed; allowed: tls1, tls1.1, tls1.2, tls1.3; did you mean 'tls1'?",
        "servers.a.tls.key_path: is required together with cert_path",
    ]


def test_a_rule_that_reads_a_wrong_key_says_nothing() -> None:
    """Nobody knows whether a server whose protocol is misspelt needs a section tls."""
    assert told({"servers": {"a": server(protocol="tsl")}}) == [
        "servers.a.protocol: 'tsl' is not allowed; allowed: tcp, tls, udp; did you mean 'tls'?"
    ]


def test_a_section_that_is_wrong_is_not_also_missing() -> None:
    found = told({"servers": {"a": server(protocol="tls", tls=5), "b": {"bind": ":3001", "discovery": 5}}})
    assert not any("is required" in text for text in found)


def test_several_rules_of_a_section_are_told_of_together() -> None:
    found = told({"servers": {"a": server(protocol="udp", backends_tls={}, proxy_protocol={})}})
    assert {text.partition(":")[0] for text in found} >= {
        "servers.a.backends_tls",
        "servers.a.proxy_protocol.version",
        "servers.a",
    }


def test_unknown_keys_are_errors() -> None:
    assert told({"servers": {"a": server(bnid=":3001")}}) == ["servers.a.bnid: unknown key; did you mean 'bind'?"]


def test_unknown_keys_are_warnings_when_lenient() -> None:
    config, warnings = build({"servers": {"a": server(bnid=":3001")}, "extra": {"deep": 1}}, lenient=True)
    assert [str(warning) for warning in warnings] == [
        "extra: unknown key; allowed: logging, profiler, api, metrics, access_log, defaults, acme, servers",
        "servers.a.bnid: unknown key; did you mean 'bind'?",
    ]
    assert config == build({"servers": {"a": server()}})[0]


def test_being_lenient_lets_nothing_else_pass() -> None:
    assert told({"servers": {"a": server(balance="leastcon", bnid=1)}}, lenient=True) == [
        "servers.a.balance: 'leastcon' is not allowed; allowed: iphash, iphash1, leastbandwidth, leastconn, maglev, "
        "p2c, roundrobin, weight; did you mean 'leastconn'?"
    ]


def test_servers_take_from_defaults_what_they_do_not_say() -> None:
    defaults = {"max_connections": 7, "client_idle_timeout": "1m", "shutdown_timeout": "3s"}
    config, _ = build({"defaults": defaults, "servers": {"a": server(), "b": server(bind=":1", max_connections=0)}})
    a, b = config.servers["a"], config.servers["b"]
    assert (a.max_connections, a.client_idle_timeout, a.backend_idle_timeout, a.shutdown_timeout) == (7, 60, 0, 3)
    assert (b.max_connections, b.client_idle_timeout) == (0, 60)


def test_without_defaults_there_are_no_limits_and_ten_seconds_to_shut_down() -> None:
    a = build({"servers": {"a": server()}})[0].servers["a"]
    assert (a.max_connections, a.client_idle_timeout, a.backend_idle_timeout, a.backend_connection_timeout) == (
        0,
        0,
        0,
        0,
    )
    assert (a.shutdown_timeout, a.connect_attempts, a.priority_tiers, a.balance) == (10, 3, False, "weight")


GO_CLIENT = {
    "bind": "127.0.0.1:80",
    "protocol": "",
    "balance": "",
    "client_idle_timeout": "",
    "max_connections": 0,
    "healthcheck": {
        "kind": "ping",
        "interval": "2s",
        "timeout": "",
        "fails": 0,
        "passes": 0,
        "initial_status": "",
        "exec_command": "",
    },
    "discovery": {**STATIC, "failpolicy": "", "interval": "", "timeout": ""},
}
"""What a client of gobetween that is written in Go sends: every key, whether it has something to say of it or not."""


def test_an_empty_text_is_no_key_as_for_gobetween() -> None:
    config, warnings = build({"defaults": {"client_idle_timeout": "5m"}, "servers": {"web": GO_CLIENT}})
    plain = {"bind": GO_CLIENT["bind"], "healthcheck": {"kind": "ping", "interval": "2s"}, "discovery": STATIC}
    expected, _ = build({"defaults": {"client_idle_timeout": "5m"}, "servers": {"web": plain}})
    assert config == expected
    assert not warnings


def test_an_unknown_key_is_unknown_though_its_text_is_empty() -> None:
    server = {"bind": ":80", "ballance": "", "discovery": {**STATIC, "intervall": ""}, "healthcheck": {"knd": ""}}
    with pytest.raises(ConfigErrors) as raised:
        build({"servers": {"web": server}})
    assert [problem.path for problem in raised.value.problems] == [
        "servers.web.ballance",
        "servers.web.discovery.intervall",
        "servers.web.healthcheck.knd",
    ]


def test_a_health_check_without_a_kind_is_none_and_a_discovery_is_an_error() -> None:
    def server(**sections: object) -> dict[str, object]:
        return {"servers": {"web": {"bind": ":80", "discovery": STATIC, **sections}}}

    config, _ = build(server(healthcheck={"kind": "", "interval": ""}))
    assert config.servers["web"].healthcheck.kind == "none"
    with pytest.raises(ConfigErrors, match=r"^servers\.web\.discovery\.kind: '' is not allowed"):
        build(server(discovery={"kind": ""}))


@pytest.mark.parametrize("name", ["bind", "access"])
def test_an_empty_text_is_wrong_where_something_is_needed_or_safety_depends_on_it(name: str) -> None:
    """A variable of the environment that is not set must not open what a rule was to close."""
    server = {"bind": ":80", "discovery": STATIC, name: {"bind": "", "access": {"default": ""}}[name]}
    with pytest.raises(ConfigErrors, match=rf"^servers\.web\.{name}"):
        build({"servers": {"web": server}})


def test_a_wrong_default_is_told_of_once() -> None:
    assert told({"defaults": {"max_connections": "7"}, "servers": {"a": server(), "b": server(bind=":1")}}) == [
        "defaults.max_connections: must be a whole number, not '7'"
    ]


def test_udp_may_end_its_sessions_by_a_default() -> None:
    data = {"defaults": {"client_idle_timeout": "1s"}, "servers": {"a": server(protocol="udp")}}
    config, _ = build(data)
    assert config.servers["a"].client_idle_timeout == 1


def test_a_config_cannot_be_changed() -> None:
    config, _ = build({"servers": {"a": server()}})
    with pytest.raises(ValueError, match="frozen"):
        config.servers["a"].max_connections = 5  # type: ignore[misc]


def test_an_empty_config_is_one() -> None:
    assert build({})[0].servers == {}


def test_a_kind_that_lacks_a_package_is_refused_by_name_beside_its_errors() -> None:
    assert told({"servers": {"a": server(discovery={"kind": "ghost", "ghost_szie": 3})}}) == [
        "servers.a.discovery.ghost_szie: unknown key; did you mean 'ghost_size'?",
        "servers.a.discovery.kind: discovery kind 'ghost' needs the Python package 'no_ghost':"
        " pip install 'pygobetween[ghost]'",
    ]


class TestOptionsOfAThirdParty:
    def test_are_named_like_ours(self) -> None:
        assert plugin_told(plugin_levels=[2, "x"], plugin_hihg=3) == [
            ".plugin_hihg: unknown key; did you mean 'plugin_high'?",
            ".plugin_levels[1]: must be a whole number, not 'x'",
        ]

    def test_may_have_validators_of_fields(self) -> None:
        assert plugin_told(plugin_levels=[3]) == [".plugin_levels: must be even numbers"]

    def test_may_have_rules_which_show_beside_other_errors(self) -> None:
        assert plugin_told(plugin_low=9, plugin_levels=[3]) == [
            ".plugin_levels: must be even numbers",
            ": plugin_low is above plugin_high",
        ]

    def test_have_one_error_for_a_value_that_may_be_of_two_types(self) -> None:
        assert plugin_told(plugin_port=1.5) == [".plugin_port: must be a whole number or text in quotes, not 1.5"]

    def test_never_show_a_secret_whatever_their_validator_says(self) -> None:
        assert plugin_told(plugin_token="hunter2") == [".plugin_token: is not valid"]

    def test_give_what_they_hold(self) -> None:
        options = (
            build({"servers": {"a": server(discovery={"kind": "plugin", "plugin_levels": [2]})}})[0]
            .servers["a"]
            .discovery
        )
        assert isinstance(options, PluginOptions)
        assert options.plugin_levels == [2]


def test_the_last_problem_of_many_is_still_told() -> None:
    """A long list of backends, all wrong."""
    found = told({"servers": {"a": server(discovery={"kind": "static", "static_list": ["x"] * 5000})}})
    assert len(found) == 5000
    assert found[-1].startswith("servers.a.discovery.static_list[4999]: 'x' has no port")


def test_problems_can_be_read_by_a_program() -> None:
    with pytest.raises(ConfigErrors) as refused:
        build({"servers": {"a": server(balance="leastcon")}})
    assert refused.value.problems[0] == Problem(
        path="servers.a.balance",
        reason="is not allowed",
        value="'leastcon'",
        allowed="iphash, iphash1, leastbandwidth, leastconn, maglev, p2c, roundrobin, weight",
        hint="did you mean 'leastconn'?",
    )
