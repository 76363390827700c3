"""Where the access log goes and what its lines are, as the config says it."""

import pytest

from gobetween_py.config import ConfigErrors, load
from gobetween_py.config.access_log import FIELDS, TEMPLATE, AccessLog, Output, parts_of
from gobetween_py.config.dump import dump
from gobetween_py.config.references import missing_files

SERVERS = """
[servers.a]
bind = ":1"
discovery = { kind = "static", static_list = [] }
[servers.b]
bind = ":2"
discovery = { kind = "static", static_list = [] }
"""


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("stdout", Output("stdout")),
        ("stderr", Output("stderr")),
        ("/var/log/access.log", Output("file", path="/var/log/access.log")),
        ("syslog.txt", Output("file", path="syslog.txt")),
        ("syslog", Output("syslog", path="/dev/log")),
        ("syslog:/run/other", Output("syslog", path="/run/other")),
        ("syslog:loghost:514", Output("syslog", host="loghost", port=514)),
        ("syslog:[2001:db8::1]:514", Output("syslog", host="2001:db8::1", port=514)),
    ],
)
def test_an_output_is_read_and_written_the_same(text: str, output: Output) -> None:
    assert Output.parse(text) == output
    assert str(output) == text


@pytest.mark.parametrize(
    "text", ["", "syslog:", "syslog:host", "syslog:host:0", "syslog:::1:514", "syslog: :514", None, 1]
)
def test_what_is_no_output_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"write|must be text"):
        Output.parse(text)


def test_without_a_section_there_is_no_access_log() -> None:
    assert load(SERVERS).servers["a"].access_log is None


def test_the_section_is_for_every_server() -> None:
    config = load('[access_log]\noutput = "/a"\nformat = "json"' + SERVERS)
    assert (
        config.servers["a"].access_log
        == config.servers["b"].access_log
        == AccessLog(output=Output.parse("/a"), format="json")
    )


def test_a_server_says_only_what_is_different_for_it() -> None:
    config = load('[access_log]\noutput = "/a"\nformat = "json"' + SERVERS + '[servers.b.access_log]\nformat = "text"')
    assert config.servers["b"].access_log == AccessLog(output=Output.parse("/a"), format="text")


def test_a_server_may_be_left_out_or_be_the_only_one() -> None:
    config = load("[access_log]" + SERVERS + "[servers.b.access_log]\nenabled = false")
    assert [server.access_log and server.access_log.enabled for server in config.servers.values()] == [True, False]
    config = load(SERVERS + "[servers.b.access_log]")
    assert [server.access_log for server in config.servers.values()] == [None, AccessLog()]


def test_what_is_wrong_with_the_section_is_told_once() -> None:
    with pytest.raises(ConfigErrors) as refused:
        load('[access_log]\nformat = "{bytes}"\noutput = "/a"' + SERVERS)
    assert [problem.path for problem in refused.value.problems] == ["access_log.format"]


def test_a_dumped_config_loads_as_the_same() -> None:
    config = load('[access_log]\noutput = "syslog:[::1]:514"\nformat = "{client} {{}}"' + SERVERS)
    assert load(dump(config, "toml", reveal=True)) == config
    assert load(dump(config, "json", reveal=True), "json") == config


def test_a_file_that_cannot_be_written_is_told_once_where_it_is_said() -> None:
    config = load('[access_log]\noutput = "/no/such/log"' + SERVERS + '[servers.b.access_log]\noutput = "/"')
    with pytest.raises(ConfigErrors) as refused:
        missing_files(config)
    assert str(refused.value).splitlines() == [
        "access_log.output: '/no/such/log' cannot be written: there is no directory '/no/such'",
        "servers.b.access_log.output: '/' is a directory, not a file",
    ]


def test_a_log_that_is_off_needs_no_directory() -> None:
    missing_files(load('[access_log]\nenabled = false\noutput = "/no/such/log"' + SERVERS))


def test_the_template_of_text_has_every_field() -> None:
    assert [field for _, field in parts_of(TEMPLATE) if field] == list(FIELDS)
