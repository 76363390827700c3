"""Golden tests: each file of invalid/ lies beside the exact text that it is refused with."""

from pathlib import Path

import pytest

from gobetween_py.config import ConfigErrors, load_file

INVALID = Path(__file__).parent / "invalid"
FILES = sorted(file for file in INVALID.iterdir() if file.suffix != ".expected")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_is_refused_with_exactly_the_expected_text(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(INVALID)
    with pytest.raises(ConfigErrors) as refused:
        load_file(file.name)
    assert f"{refused.value}\n" == Path(f"{file.name}.expected").read_text()


def test_every_expected_text_belongs_to_a_file() -> None:
    expected = {file.name for file in INVALID.glob("*.expected")}
    assert expected == {f"{file.name}.expected" for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_expected_text_holds_a_password_or_the_words_of_a_library(file: Path) -> None:
    text = (INVALID / f"{file.name}.expected").read_text()
    for word in ("hunter2", "4711", "sesame", "pydantic", "Input should", "https://errors", "function-"):
        assert word not in text
