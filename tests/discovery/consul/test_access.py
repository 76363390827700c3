"""Which ACL token is sent."""

from pathlib import Path

import pytest

from discovery.consul.access import Access
from discovery.contract import DiscoveryError


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONSUL_HTTP_TOKEN", raising=False)
    monkeypatch.delenv("CONSUL_HTTP_TOKEN_FILE", raising=False)


def test_the_config_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "environment")
    (tmp_path / "token").write_text("file\n")
    assert Access(("a:1",), token="config").current_token() == "config"
    assert Access(("a:1",), token_file=str(tmp_path / "token")).current_token() == "file"


def test_the_environment_counts_where_the_config_has_none_and_its_file_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    access = Access(("a:1",))
    assert access.current_token() == ""
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "environment")
    assert access.current_token() == "environment"
    (tmp_path / "token").write_text("file")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN_FILE", str(tmp_path / "token"))
    assert access.current_token() == "file"


def test_a_renewed_token_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    access = Access(("a:1",), token_file=str(file))
    for token in "one", "two":
        file.write_text(token)
        assert access.current_token() == token


@pytest.mark.parametrize("content", [b"two\nlines", b"\xff\xfe", "tok\u00e9n".encode()])
def test_a_file_of_something_else_is_named_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(DiscoveryError, match="token") as raised:
        Access(("a:1",), token_file=str(file)).current_token()
    assert "lines" not in str(raised.value).replace("one line", "")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(DiscoveryError, match="/no/such/file: No such file"):
        Access(("a:1",), token_file="/no/such/file").current_token()


def test_a_missing_ca_is_named() -> None:
    with pytest.raises(DiscoveryError, match=r"/no/ca\.pem"):
        Access(("a:1",), ca="/no/ca.pem").tls_context()


def test_no_secret_is_shown() -> None:
    shown = repr(Access(("a:1",), token="s3cret", password="passw0rd"))
    assert "s3cret" not in shown
    assert "passw0rd" not in shown
