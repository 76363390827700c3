"""Plain data as TOML: whatever is written is read back the same, by Python's own parser too."""

import tomllib

import tomlkit
from hypothesis import given
from hypothesis import strategies as some

from gobetween_py.config.toml_text import toml_lines

SCALARS = (
    some.text()
    | some.integers(-(2**63), 2**63 - 1)
    | some.booleans()
    | some.floats(allow_nan=False, allow_infinity=False)
)
VALUES = some.recursive(
    SCALARS, lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(), inner, max_size=3)
)


def text_of(table: dict[str, object]) -> str:
    return "".join(toml_lines(table))


@given(some.dictionaries(some.text(), VALUES, max_size=4))
def test_what_is_written_is_read_back_the_same(table: dict[str, object]) -> None:
    assert tomllib.loads(text_of(table)) == table


def test_it_reads_like_a_config() -> None:
    table = {
        "api": {"enabled": True},
        "empty": {},
        "servers": {
            "my web": {
                "bind": ":80",
                "access": {"rules": ["deny 10.0.0.1", "allow ::/0"]},
                "backends": [{"address": "a:1"}, {"address": "b:2", "weight": 2}],
            }
        },
    }
    assert (
        text_of(table)
        == """\
[api]
enabled = true

[empty]

[servers."my web"]
bind = ":80"

[servers."my web".access]
rules = [
  "deny 10.0.0.1",
  "allow ::/0",
]

[[servers."my web".backends]]
address = "a:1"

[[servers."my web".backends]]
address = "b:2"
weight = 2
"""
    )
    assert tomlkit.parse(text_of(table)).unwrap() == table


def test_a_long_list_comes_in_many_lines() -> None:
    """So that it can be written while other things are done."""
    lines = [*toml_lines({"list": [f"10.0.0.1:{port}" for port in range(1, 10_001)]})]
    assert len(lines) == 10_002
