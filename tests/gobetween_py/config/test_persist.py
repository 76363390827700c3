"""Writing changes back into a config file."""

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gobetween_py.config.persist import PersistError, edited, rewrite
from gobetween_py.config.toml_text import toml_lines

TEXT = """\
# what this file is

[logging]
level = "info"      # why

# -------- servers --------

# about web
[servers.web]       # web itself
bind = "127.0.0.1:80"   # here
balance = "weight"

# before discovery
[servers.web.discovery]
kind = "static"
static_list = [
  "a:1",   # the first
  "b:2",
]

# about other
[servers.other]
bind = "${LB_BIND}"
discovery = { kind = "static", static_list = ["${LB_BACKEND}:1"] }   # inline

# the end
"""
WEB = {
    "bind": "127.0.0.1:80",
    "balance": "weight",
    "discovery": {"kind": "static", "static_list": ["a:1", "b:2"]},
}
OTHER = {"bind": ":99", "discovery": {"kind": "static", "static_list": ["x:1"]}}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LB_BIND", ":99")
    monkeypatch.setenv("LB_BACKEND", "x")


def edit(text: str, *keys: str, to: object) -> str:
    return edited(text, "toml", keys, to, environment=True)


def removed(before: str, after: str) -> list[str]:
    """The lines that are there no more."""
    return [line for line in before.splitlines() if line not in after.splitlines()]


def added(before: str, after: str) -> list[str]:
    return removed(after, before)


def test_what_is_the_same_leaves_the_text_as_it_is():
    assert edit(TEXT, "servers", "web", to=WEB) == TEXT
    assert edit(TEXT, "servers", "other", to=OTHER) == TEXT


def test_a_changed_value_changes_its_line_only():
    after = edit(TEXT, "servers", "web", to={**WEB, "bind": "127.0.0.1:81"})
    assert removed(TEXT, after) == ['bind = "127.0.0.1:80"   # here']
    assert added(TEXT, after) == ['bind = "127.0.0.1:81"   # here']


def test_new_keys_stand_in_their_section_and_comments_above_the_sections_that_they_are_about():
    discovery = {**WEB["discovery"], "interval": "5s"}  # type: ignore[dict-item]
    wanted = {**WEB, "max_connections": 5, "discovery": discovery, "access": {"rules": ["allow 10.0.0.0/8"]}}
    after = edit(TEXT, "servers", "web", to=wanted)
    assert removed(TEXT, after) == []
    assert (
        after.partition("# about web\n")[2]
        == """\
[servers.web]       # web itself
bind = "127.0.0.1:80"   # here
balance = "weight"
max_connections = 5

# before discovery
[servers.web.discovery]
kind = "static"
static_list = [
  "a:1",   # the first
  "b:2",
]
interval = "5s"

[servers.web.access]
rules = ["allow 10.0.0.0/8"]

"""
        + TEXT[TEXT.index("# about other") :]
    )


def test_a_new_server_comes_last_and_a_removed_one_takes_its_comment_along():
    after = edit(TEXT, "servers", "new", to=WEB)
    assert after.startswith(TEXT.removesuffix("# the end\n"))
    assert after.endswith('static_list = ["a:1", "b:2"]\n\n# the end\n')
    assert edit(after, "servers", "new", to=None) == TEXT
    without = edit(TEXT, "servers", "web", to=None)
    assert "web" not in without
    assert "# -------- servers --------" in without
    assert without.endswith(TEXT[TEXT.index("# about other") :])


def test_the_last_server_can_go_and_come():
    text = '[servers.a]\nbind = ":1"\n'
    assert tomllib.loads(edit(text, "servers", "a", to=None)) == {}
    assert tomllib.loads(edit("", "servers", "a", to={"bind": ":1"})) == {"servers": {"a": {"bind": ":1"}}}


def test_tables_in_a_list_are_written_anew():
    backends = [{"address": "a:1", "weight": 3}, {"address": "c:1", "state": "drain"}]
    after = edit(TEXT, "servers", "web", "backends", to=backends)
    assert removed(TEXT, after) == []
    assert tomllib.loads(after)["servers"]["web"]["backends"] == backends
    again = edit(after, "servers", "web", "backends", to=backends[:1])
    assert tomllib.loads(again)["servers"]["web"] == {**WEB, "backends": backends[:1]}
    assert edit(again, "servers", "web", "backends", to=None) == TEXT


def test_variables_stay_unless_their_value_changes():
    after = edit(TEXT, "servers", "other", to={**OTHER, "bind": ":98"})
    assert 'bind = ":98"' in after
    assert "${LB_BACKEND}:1" in after


def test_names_that_need_quotes():
    text = '[servers."my web"]\nbind = ":2"  # two\n'
    assert edit(text, "servers", "my web", to={"bind": ":3"}) == text.replace(":2", ":3")
    after = edit(text, "servers", "a.b", to={"bind": ":5"})
    assert after == text + '\n[servers."a.b"]\nbind = ":5"\n'


def test_keys_written_with_dots():
    text = 'servers.web.bind = ":1"  # one\nservers.web.discovery.kind = "static"\n'
    after = edit(text, "servers", "web", to={"bind": ":4", "discovery": {"kind": "static"}})
    assert after == text.replace(":1", ":4")


def test_line_ends_stay():
    after = edit(TEXT.replace("\n", "\r\n"), "servers", "web", to={**WEB, "bind": ":81"})
    assert after.count("\r\n") == after.count("\n") == TEXT.count("\n")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[servers.web\n", r"^lb\.toml:1:\d+: is no valid TOML"),
        ('[servers.web]\nbind = "${LB_NOT_SET}"\n', "LB_NOT_SET is not set"),
        ("[servers.web]\nmax_connections = ${LB_NUMBER}\n", r"a \$\{NAME\} in it stands outside of quotes"),
    ],
)
def test_a_text_that_cannot_be_edited_is_told_why(text: str, why: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LB_NUMBER", "5")
    with pytest.raises(PersistError, match=why):
        edited(text, "toml", ("servers", "web"), WEB, environment=True, name="lb.toml")


def test_json_is_laid_out_anew():
    after = edited('{"servers": {"web": {"bind": ":1"}}, "api": {}}', "json", ("servers", "web", "bind"), ":2")
    assert after == '{\n  "servers": {\n    "web": {\n      "bind": ":2"\n    }\n  },\n  "api": {}\n}\n'


texts = st.text(st.characters(exclude_categories=["C"]), max_size=6)
scalars = st.one_of(texts, st.integers(-9, 9), st.booleans(), st.lists(texts, max_size=3))
tables = st.recursive(
    st.dictionaries(texts, scalars, max_size=4),
    lambda inner: st.dictionaries(
        texts, st.one_of(scalars, inner, st.lists(inner, min_size=1, max_size=2)), max_size=4
    ),
    max_leaves=12,
)


@settings(deadline=None)
@given(before=st.dictionaries(texts, tables, max_size=4), name=texts, to=st.none() | tables)
def test_any_table_can_be_set(before: Mapping[str, Any], name: str, to: Mapping[str, Any] | None):
    """Afterwards the text says just that, and no comment stands in it twice."""
    lines = [f"{line.rstrip()}\n" for line in toml_lines({"servers": before})]
    text = "".join(f"# above {n}\n{line}" if line.startswith("[") else line for n, line in enumerate(lines))
    servers = {key: value for key, value in {**before, name: to}.items() if value is not None}
    after = edited(text, "toml", ("servers", name), to)
    assert tomllib.loads(after).get("servers", {}) == servers
    assert all(after.count(f"# above {n}\n") <= 1 for n in range(len(lines)))
    assert edited(after, "toml", ("servers", name), to) == after


class TestFile:
    def test_is_replaced_in_one_step_and_keeps_its_mode(self, tmp_path: Path):
        file = tmp_path / "lb.toml"
        file.write_text(TEXT)
        file.chmod(0o640)
        before = file.stat()
        with file.open() as held:
            text, after = rewrite(file, "toml", ("servers", "web", "bind"), ":81", environment=True)
            assert held.read() == TEXT
        assert file.read_text() == after != text == TEXT
        assert stat.S_IMODE(file.stat().st_mode) == 0o640
        assert (file.stat().st_uid, file.stat().st_gid) == (before.st_uid, before.st_gid)
        assert os.listdir(tmp_path) == ["lb.toml"]

    def test_what_a_link_leads_to_is_replaced(self, tmp_path: Path):
        (tmp_path / "real").mkdir()
        file, link = tmp_path / "real" / "lb.toml", tmp_path / "link.toml"
        file.write_text(TEXT)
        link.symlink_to(file)
        rewrite(link, "toml", ("servers", "web", "bind"), ":81", environment=True)
        assert link.is_symlink()
        assert '":81"' in file.read_text()

    def test_that_says_it_already_is_not_written(self, tmp_path: Path):
        file = tmp_path / "lb.toml"
        file.write_text(TEXT)
        before = file.stat()
        rewrite(file, "toml", ("servers", "web", "bind"), "127.0.0.1:80", environment=True)
        assert file.stat() == before

    def test_that_is_gone_is_told(self, tmp_path: Path):
        with pytest.raises(PersistError, match="there is no such file"):
            rewrite(tmp_path / "lb.toml", "toml", ("servers", "web", "bind"), ":81")

    @pytest.mark.skipif(not os.path.exists("/proc/self/attr"), reason="needs Linux")
    def test_in_a_folder_that_cannot_be_written_stays_as_it_is(self):
        """/proc takes no new files, from root neither."""
        file = Path("/proc/self/limits")
        with pytest.raises(PersistError):
            rewrite(file, "toml", ("servers", "web", "bind"), ":81")
