"""Where a daemon listens."""

import pytest

from discovery.daemon.endpoint import Endpoint, root_cause


def parse(url: str, *, secure: bool = False) -> Endpoint:
    return Endpoint.parse(url, port=2375, secure_port=2376, secure=secure)


@pytest.mark.parametrize(
    ("url", "endpoint", "base"),
    [
        ("unix:///run/d.sock", Endpoint("/run/d.sock"), "http://localhost:80"),
        ("http://h", Endpoint("", "h", 2375), "http://h:2375"),
        ("tcp://h:1/", Endpoint("", "h", 1), "http://h:1"),
        ("https://h", Endpoint("", "h", 2376, secure=True), "https://h:2376"),
        ("http://[::1]:2375", Endpoint("", "::1", 2375), "http://[::1]:2375"),
    ],
)
def test_a_url_says_where(url: str, endpoint: Endpoint, base: str) -> None:
    assert parse(url) == endpoint
    assert endpoint.url == base
    assert str(endpoint) == (url if endpoint.path else base)


def test_tls_may_be_asked_for_whatever_the_scheme() -> None:
    assert parse("tcp://h", secure=True) == parse("http://h", secure=True) == parse("https://h:2376")


@pytest.mark.parametrize("url", ["http://u:secret@h", "http://h/secret", "http://h?secret", "http://:1", "http://h:x"])
def test_what_no_daemon_has_is_an_error_without_the_text(url: str) -> None:
    with pytest.raises(ValueError, match=r"^has|could not be cast") as error:
        parse(url)
    assert "secret" not in str(error.value)


def test_a_failure_names_the_place_and_the_first_cause() -> None:
    endpoint = Endpoint("/run/d.sock")
    wrapped, refused = RuntimeError("wrapped"), ConnectionRefusedError(111, "Connection refused")
    wrapped.__cause__ = refused
    assert root_cause(wrapped) is refused
    assert str(endpoint.failure(wrapped)) == "unix:///run/d.sock: Connection refused"
    assert str(endpoint.failure(TimeoutError())) == "unix:///run/d.sock: TimeoutError"
    assert str(endpoint.failure(KeyError("a"))) == "unix:///run/d.sock: the answer is not as expected (KeyError: 'a')"
