import pytest

from benchmarks import machine


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/\nStatus: ...", "2.6.12-1+deb12u4"),
        ("nginx version: nginx/1.22.1", "1.22.1"),
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"),
        ("This is ApacheBench, Version 2.3 <$Revision$>", "2.3"),
        ("devel\nbuilt today", "devel"),
    ],
)
def test_a_version_is_found_in_what_programs_say(printed: str, version: str) -> None:
    assert machine.version_in(printed) == version


def test_machine_and_versions_are_described() -> None:
    described = machine.describe({"haproxy": "2.6", "direct": ""})
    assert {"CPU", "kernel", "Python", "uvloop", "haproxy", "ab"} <= set(described)
    assert "direct" not in described
