from ipaddress import ip_network

import pytest

from gobetween_py.proxy.access import CACHED, Access


def access(*rules: str, default: bool = True) -> Access:
    return Access(
        ((verb == "allow", ip_network(network)) for verb, network in (rule.split() for rule in rules)), default=default
    )


def test_the_first_rule_that_matches_decides():
    rules = access("deny 10.0.0.1/32", "allow 10.0.0.0/8", "deny 0.0.0.0/0")
    assert not rules.allows("10.0.0.1")
    assert rules.allows("10.0.0.2")
    assert not rules.allows("192.0.2.1")


@pytest.mark.parametrize("default", [True, False])
def test_the_default_decides_where_no_rule_matches(default: bool):
    assert access("allow 10.0.0.0/8", default=default).allows("192.0.2.1") is default
    assert access("deny 10.0.0.0/8", default=default).allows("2001:db8::1") is default
    assert access("deny 10.0.0.0/8", default=default).allows("") is default  # a UNIX client


@pytest.mark.parametrize(
    ("rule", "client"),
    [
        ("deny 192.0.2.0/24", "192.0.2.7"),
        ("deny 192.0.2.0/24", "::ffff:192.0.2.7"),
        ("deny ::ffff:192.0.2.0/120", "192.0.2.7"),
        ("deny ::ffff:192.0.2.0/120", "::ffff:192.0.2.7"),
        ("deny 2001:db8::/32", "2001:db8::1"),
        ("deny fe80::/10", "fe80::1%lo"),
        ("deny ::/0", "2001:db8::1"),
    ],
)
def test_both_families_and_mapped_addresses_match(rule: str, client: str):
    assert not access(rule).allows(client)


def test_a_scan_over_many_addresses_costs_bounded_memory():
    rules = access("deny 10.0.0.0/9")
    for number in range(CACHED + 10):
        rules.allows(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(rules._verdicts) <= CACHED
    assert not rules.allows("10.0.0.1")
