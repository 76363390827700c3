"""The keys of a health check, as a config has them."""

import pytest

from gobetween_py.config import Config, ConfigErrors, Problem, load
from gobetween_py.config.dump import dump
from gobetween_py.healthcheck import registry
from gobetween_py.healthcheck.contract import Options

BASIS = '[servers.a]\nbind = ":0"\ndiscovery = { kind = "static", static_list = [] }\n[servers.a.healthcheck]\n'
VALID = {
    "none": "",
    "ping": 'interval = "1s"',
    "probe": 'interval = "1s"\nprobe_protocol = "tcp"\nprobe_send = "a"\nprobe_recv = "b"',
    "http": 'interval = "1s"',
    "exec": 'interval = "1s"\nexec_command = "true"\nexec_expected_positive_output = "1"',
}


def loaded(kind: str, *lines: str) -> Options:
    return load("\n".join([BASIS + f'kind = "{kind}"', VALID[kind], *lines])).servers["a"].healthcheck


def test_there_is_a_shortest_config_of_every_kind() -> None:
    assert set(VALID) == set(registry.kinds())


@pytest.mark.parametrize("kind", VALID)
def test_a_kind_makes_its_check(kind: str) -> None:
    options = loaded(kind)
    assert type(options) is registry.options_of(kind)
    if kind != registry.NONE:
        assert registry.load(kind)(options).options is options


@pytest.mark.parametrize("format", ["toml", "json"])
@pytest.mark.parametrize("kind", VALID)
def test_what_it_is_dumped_as_loads_as_the_same(kind: str, format: str) -> None:
    config = load("\n".join([BASIS + f'kind = "{kind}"', VALID[kind]]))
    assert load(dump(config, format, reveal=True), format) == config  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", VALID)
def test_every_kind_has_the_keys_of_all(kind: str) -> None:
    keys = "fails = 2", "passes = 3", 'timeout = "2s"', 'host = "[::1]"', "port = 81", "max_fails = 4"
    options = loaded(kind, *keys, 'slow_start = "1m"', 'on_down = "close"')
    assert (options.fails, options.passes, options.timeout, options.host, options.port) == (2, 3, 2.0, "::1", 81)
    assert (options.max_fails, options.slow_start, options.on_down) == (4, 60.0, "close")


def test_keys_of_another_kind_are_left_out_with_a_warning() -> None:
    """gobetween does not mind them, so a config that has them runs."""
    warnings: list[Problem] = []
    config = load(BASIS + 'kind = "ping"\ninterval = "1s"\nexec_command = 5\nprobe_recv = "x"', warn=warnings.append)
    assert [str(warning) for warning in warnings] == [
        "servers.a.healthcheck.exec_command: has no effect when kind is 'ping'",
        "servers.a.healthcheck.probe_recv: has no effect when kind is 'ping'",
    ]
    assert config == load(BASIS + 'kind = "ping"\ninterval = "1s"')


def test_ping_needs_a_port_where_the_server_is_udp() -> None:
    section = "[servers.a.healthcheck]"
    text = BASIS.replace(section, 'protocol = "udp"\nclient_idle_timeout = "1s"\n' + section)
    text += 'kind = "ping"\ninterval = "1s"\n'

    def problems(config: str) -> list[str]:
        try:
            load(config)
        except ConfigErrors as refused:
            return [str(problem) for problem in refused.problems if "ping" in str(problem)]
        return []

    assert problems(text) == [
        "servers.a.healthcheck.kind: 'ping' opens TCP connections: with protocol 'udp' it needs a port for them"
    ]
    assert problems(text + "port = 8080") == []


def test_a_config_without_the_section_has_no_checks() -> None:
    config: Config = load(BASIS.replace("[servers.a.healthcheck]", ""))
    assert config.servers["a"].healthcheck == Options()
