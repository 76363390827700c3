import json

import pytest
from pydantic import SecretStr

from discovery.contract import Options
from gobetween_py.config.dump import dump, masks_in, plain, secrets_in, unmasked
from gobetween_py.config.models import Api, BasicAuth, Config
from gobetween_py.config.server import Server

PASSWORD, TOKEN, IN_URL = "hunter2-in-the-api", "hunter2-token", "hunter2-in-a-url"


class RemoteOptions(Options):
    kind: str = "remote"
    remote_endpoint: str
    remote_token: SecretStr
    remote_headers: dict[str, SecretStr]
    remote_empty: SecretStr = SecretStr("")


class ManyOptions(Options):
    kind: str = "many"
    many_endpoints: tuple[str, ...]


@pytest.fixture
def config() -> Config:
    return Config(
        api=Api(basic_auth=BasicAuth(login="admin", password=SecretStr(PASSWORD))),
        servers={
            "a": Server(
                bind="127.0.0.1:3000",  # type: ignore[arg-type]
                client_idle_timeout="1m30s",  # type: ignore[arg-type]
                discovery=RemoteOptions(
                    remote_endpoint=f"https://me:{IN_URL}@localhost/list?of=backends",
                    remote_token=SecretStr(TOKEN),
                    remote_headers={"X-Key": SecretStr(TOKEN)},
                ),
            )
        },
    )


def test_a_table_is_spelled_as_in_a_file(config: Config) -> None:
    server = plain(config)["servers"]["a"]
    assert (server["bind"], server["client_idle_timeout"], server["shutdown_timeout"]) == (
        "127.0.0.1:3000",
        "1m30s",
        "10s",
    )
    assert "tls" not in server


@pytest.mark.parametrize("format", ["toml", "json"])
def test_secrets_are_masked(config: Config, format: str) -> None:
    text = dump(config, format)  # type: ignore[arg-type]
    assert "hunter2" not in text
    assert text.count("***") == 4


def test_an_empty_secret_is_shown_as_empty(config: Config) -> None:
    assert plain(config)["servers"]["a"]["discovery"]["remote_empty"] == ""


def test_secrets_stand_in_it_when_they_are_asked_for(config: Config) -> None:
    table = plain(config, reveal=True)
    assert table["api"]["basic_auth"] == {"login": "admin", "password": PASSWORD}
    assert table["servers"]["a"]["discovery"]["remote_endpoint"] == f"https://me:{IN_URL}@localhost/list?of=backends"
    assert json.loads(dump(config, "json", reveal=True)) == table


@pytest.mark.parametrize("text", [str, repr, lambda config: config.model_dump_json(), lambda c: str(c.model_dump())])
def test_neither_repr_nor_pydantics_own_dumps_show_a_secret_field(config: Config, text: object) -> None:
    assert PASSWORD not in text(config)  # type: ignore[operator]
    assert TOKEN not in text(config)  # type: ignore[operator]


def test_all_secrets_can_be_listed_for_the_log(config: Config) -> None:
    assert sorted(config.secrets()) == sorted([PASSWORD, IN_URL, TOKEN, TOKEN])
    assert list(secrets_in(config.logging)) == []


def test_masks_that_are_sent_back_stand_for_their_secrets(config: Config) -> None:
    """Whatever else was changed; a password does not go to another URL."""
    server = config.servers["a"]
    sent = plain(server)
    assert unmasked(sent, server) == plain(server, reveal=True)
    sent["discovery"] |= {"remote_endpoint": "https://me:***@elsewhere/", "interval": "3s", "new": "***"}
    sent["balance"] = "leastconn"
    back = unmasked(sent, server)
    assert isinstance(back, dict)
    assert back["balance"] == "leastconn"
    assert back["discovery"] == {
        **plain(server, reveal=True)["discovery"],
        "interval": "3s",
        "remote_endpoint": "https://me:***@elsewhere/",
        "new": "***",
    }


@pytest.mark.parametrize("data", [None, 7, "***", [], {"discovery": "***"}, {"discovery": []}, {"bind": ["***"]}])
def test_what_is_no_table_stays_what_it_is(config: Config, data: object) -> None:
    assert unmasked(data, config.servers["a"]) == data


def test_masked_urls_of_a_list_are_found_again_wherever_they_stand() -> None:
    options = ManyOptions(many_endpoints=("http://a:one@a/", "http://b:two@b/"))
    assert unmasked({"many_endpoints": ["http://b:***@b/", "http://c/"]}, options) == {
        "many_endpoints": ["http://b:two@b/", "http://c/"]
    }


def test_masks_that_are_left_are_found(config: Config) -> None:
    masked = RemoteOptions(
        remote_endpoint="https://me:***@localhost/",
        remote_token=SecretStr("***"),
        remote_headers={"X-Key": SecretStr("***"), "X-Other": SecretStr("no ***")},
    )
    assert {*masks_in(masked)} == {("remote_endpoint",), ("remote_token",), ("remote_headers", "X-Key")}
    assert list(masks_in(config)) == []
