import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.config import AccessRule


@pytest.mark.parametrize(
    ("text", "allow", "network"),
    [
        ("allow 127.0.0.1", True, "127.0.0.1/32"),
        ("deny 10.0.0.0/8", False, "10.0.0.0/8"),
        ("deny 10.1.2.3/8", False, "10.0.0.0/8"),
        ("allow 0.0.0.0/0", True, "0.0.0.0/0"),
        ("allow ::1", True, "::1/128"),
        ("deny fd00::1/8", False, "fd00::/8"),
        ("  allow   ::/0 ", True, "::/0"),
    ],
)
def test_a_rule_is_a_verb_and_a_network(text: str, allow: bool, network: str) -> None:
    assert AccessRule.parse(text) == AccessRule(allow, ipaddress.ip_network(network))


@pytest.mark.parametrize(
    "text",
    [
        *["", "allow", "allow ", "127.0.0.1", "permit 127.0.0.1", "ALLOW 127.0.0.1", "allow localhost"],
        *["allow 10.0.0.0/33", "allow 10.0.0.0/-1", "allow 10.0.0.0/8/8", "allow 10.0.0.1 10.0.0.2", "allow 1.2.3"],
        *["allow ::1/129", "allow 010.0.0.1", 5, None, ["allow", "::1"]],
    ],
)
def test_what_is_no_rule_is_a_value_error_that_shows_how_to_write_one(text: object) -> None:
    with pytest.raises(ValueError, match='write "allow ADDRESS" or "deny NETWORK/BITS"'):
        AccessRule.parse(text)


@given(st.booleans(), st.ip_addresses(), st.integers(0, 32))
def test_the_text_of_a_rule_is_read_as_the_same_rule(
    allow: bool, address: ipaddress.IPv4Address | ipaddress.IPv6Address, bits: int
) -> None:
    rule = AccessRule(allow, ipaddress.ip_network((address, bits), strict=False))
    assert AccessRule.parse(str(rule)) == rule
