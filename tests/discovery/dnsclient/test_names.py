"""Names in options."""

import pytest
from pydantic import TypeAdapter, ValidationError

from discovery.dnsclient.names import DnsName

NAME = TypeAdapter(DnsName)


@pytest.mark.parametrize(
    "name", ["a", "_http._tcp.example.com.", "1.example", "4.3.2.1.in-addr.arpa", "b\u00fccher.example"]
)
def test_names_stay_as_they_are(name: str) -> None:
    assert NAME.validate_python(name) == name


@pytest.mark.parametrize("text", ["127.0.0.1", "127.0.0.1:80", "[::1]", "::1", "web.example:80"])
def test_addresses_and_ports_are_refused(text: str) -> None:
    """DNS has no such name, so that the pool would be empty for ever."""
    with pytest.raises(ValidationError, match="is an address, or has a port: write a name that DNS has"):
        NAME.validate_python(text)


@pytest.mark.parametrize("text", ["", "a..b", "x" * 64, "x." * 128])
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        NAME.validate_python(text)
