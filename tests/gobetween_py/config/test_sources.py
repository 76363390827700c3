import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gobetween_py.config import ConfigErrors, load, load_file
from gobetween_py.config.sources import LARGEST, guess_format, parse, read, substitute

MINIMAL = '[servers.a]\nbind = ":3000"\ndiscovery = { kind = "static", static_list = [] }\n'


def told(work: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigErrors) as refused:
        work()
    return [str(problem) for problem in refused.value.problems]


class TestReading:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        assert told(lambda: read(tmp_path / "lb.toml")) == [f"{tmp_path}/lb.toml: there is no such file"]

    def test_a_directory(self, tmp_path: Path) -> None:
        assert told(lambda: read(tmp_path)) == [f"{tmp_path}: is a directory, not a file"]

    def test_a_name_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a").touch()
        assert told(lambda: read(tmp_path / "a" / "b")) == [f"{tmp_path}/a/b: cannot be read: Not a directory"]

    def test_a_file_that_may_not_be_read(self, tmp_path: Path, unprivileged: None) -> None:
        file = tmp_path / "lb.toml"
        file.touch(mode=0)
        assert told(lambda: read(file)) == [f"{file}: cannot be read: permission denied"]

    def test_a_name_with_a_nul(self) -> None:
        assert told(lambda: read("a\0b")) == ["a\0b: cannot be read: embedded null byte"]

    def test_a_file_that_is_no_utf_8_is_told_of_with_its_line(self, tmp_path: Path) -> None:
        file = tmp_path / "lb.toml"
        file.write_bytes(b"# one\n# caf\xe9\n")
        assert told(lambda: read(file)) == [f"{file}:2: is not text in UTF-8: save the file in that encoding"]

    def test_a_file_that_is_too_large_is_not_read_to_its_end(self) -> None:
        assert told(lambda: read("/dev/zero")) == [f"/dev/zero: is too large: at most {LARGEST // 2**20} MiB"]

    def test_a_byte_order_mark_is_left_out(self, tmp_path: Path) -> None:
        file = tmp_path / "lb.toml"
        file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.encode())
        assert load_file(file).servers


class TestFormat:
    @pytest.mark.parametrize(
        ("name", "format"), [("lb.json", "json"), ("LB.JSON", "json"), ("lb.toml", "toml"), ("lb", "toml")]
    )
    def test_is_guessed_from_the_name(self, name: str, format: str) -> None:
        assert guess_format(name) == format

    def test_that_is_given_comes_before_the_name(self, tmp_path: Path) -> None:
        file = tmp_path / "lb.json"
        file.write_text(MINIMAL)
        assert load_file(file, "toml").servers

    def test_toml_and_json_say_the_same(self) -> None:
        assert load(json.dumps(parse(MINIMAL, "toml")), "json") == load(MINIMAL)

    def test_toml_is_plain_data_without_the_parsers_own_types(self) -> None:
        data = parse('a = "x"\nb = [1, { c = true }]', "toml")
        assert data == {"a": "x", "b": [1, {"c": True}]}
        assert {type(data), type(data["a"]), type(data["b"])} == {dict, str, list}

    def test_null_in_json_is_the_same_as_no_key(self) -> None:
        """As in Go, whose dumps hold many of them."""
        assert parse('{"a": null, "b": {"c": null, "d": 1}}', "json") == {"b": {"d": 1}}


class TestSyntax:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a = b", "x:1:5: is no valid TOML: text stands in quotes"),
            ("a = 1\na = 2\n", "x:2:6: is no valid TOML: this key is there twice"),
            ("[a]\n[a]\n", "x:2:3: is no valid TOML: this section is there twice"),
            ("a = {b = 1, b = 2}", "x:1:18: is no valid TOML: a key of this table is there twice"),
            ("a = [1 2]", "x:1:8: is no valid TOML: between two entries of a list comes a comma"),
            ('a = "x', "x:1:7: is no valid TOML: a text that begins with a quote needs the same quote at its end"),
            ("a = 'x\n'", "x:1:7: is no valid TOML: a text that begins with a quote needs the same quote at its end"),
            (r'a = "\d"', "x:1:8: is no valid TOML: a backslash in"),
            ("a\n", "x:1:2: is no valid TOML: after a key comes ="),
            ("[a\n", "x:1:3: is no valid TOML: the name of a section stands in [ ]"),
            ("a = 1 b = 2", "x:1:7: is no valid TOML: one key a line"),
            ("a = {b = 1}\na.c = 2", "x:2:8: is no valid TOML: a table in { } is complete"),
            ("= 1", "x:1:1: is no valid TOML: a key, a section or a comment is due here"),
            ("\n\na = [1,", "x:3:8: is no valid TOML: the file ends too early"),
        ],
    )
    def test_errors_of_toml_have_line_column_and_remedy(self, text: str, expected: str) -> None:
        [problem] = told(lambda: parse(text, "toml", name="x"))
        assert problem.startswith(expected)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", "x:1:1: is no valid JSON: a value is due here"),
            ('{"a": 1,}', "is no valid JSON: "),
            ('{\n"a" 1}', "x:2:5: is no valid JSON: after a key comes a colon"),
            ('{"a": 1 "b": 2}', "x:1:9: is no valid JSON: a comma is due here"),
            ("{'a': 1}", "x:1:2: is no valid JSON: a key in double quotes is due here"),
            ('{"a": "b\n"}', "x:1:9: is no valid JSON: a text ends on the line where it begins"),
            ('{"a": "\\d"}', "x:1:8: is no valid JSON: a backslash is written twice"),
            ('{"a": "b', "x:1:7: is no valid JSON: a text that begins with a double quote"),
            ("{} {}", "x:1:4: is no valid JSON: the file goes on after its object has ended"),
            ('{"a": 1, "b": 2, "a": 3}', "x: is no valid JSON: the key 'a' is there twice"),
            ("[]", "x: must be an object of sections"),
            ("[" * 100_000, "x: is nested too deeply"),
        ],
    )
    def test_errors_of_json_have_line_column_and_remedy(self, text: str, expected: str) -> None:
        [problem] = told(lambda: parse(text, "json", name="x"))
        assert expected in problem

    def test_deep_nesting_in_toml_is_an_error(self) -> None:
        assert told(lambda: parse("a = " + "[" * 100_000, "toml", name="x")) == ["x: is nested too deeply"]

    @pytest.mark.parametrize("format", ["toml", "json"])
    def test_an_error_shows_nothing_of_the_file(self, format: str) -> None:
        for text in ('password = "hunter2', "password = hunter2", '{"password": hunter2}', '{"password": "hunter2'):
            [problem] = told(lambda text=text: parse(text, format))  # type: ignore[misc, arg-type]
            assert "hunter2" not in problem


class TestVariablesOfTheEnvironment:
    def test_are_replaced_anywhere_in_the_text(self) -> None:
        text = MINIMAL.replace(":3000", "${HOST}:${PORT_1}")
        assert substitute(text, {"HOST": "127.0.0.1", "PORT_1": "80"}) == MINIMAL.replace(":3000", "127.0.0.1:80")

    def test_that_are_not_set_are_all_named_with_their_lines(self) -> None:
        assert told(lambda: substitute("${A}\n${B} ${A} ${C}\n", {"B": ""}, name="x")) == [
            "x:1: the variable A is not set in the environment",
            "x:2: the variable A is not set in the environment",
            "x:2: the variable C is not set in the environment",
        ]

    def test_are_not_replaced_twice(self) -> None:
        assert substitute("${A}", {"A": "${B}", "B": "x"}) == "${B}"

    def test_other_dollars_stay(self) -> None:
        assert substitute("$A ${} ${ A } $${1}", {}) == "$A ${} ${ A } $${1}"

    def test_are_left_alone_unless_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LB_PORT", "3000")
        text = MINIMAL.replace("3000", "${LB_PORT}")
        assert load(text, environment=True) == load(MINIMAL)
        assert told(lambda: load(text)) == ["servers.a.bind: port '${LB_PORT}' is not a whole number from 0 to 65535"]
