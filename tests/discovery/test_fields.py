import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from discovery.fields import Array, DockerUrl, Flag, HostPort, LxdUrl, Port, Required, Secret, Text


def accepts(kind: object, value: object) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (Text, ["", "x"], [5, None, True]),
        (Required, ["x"], ["", 5]),
        (Flag, [True, False], ["yes", 1, 0, None]),
        (Port, [1, 65535], [0, 65536, "80", 80.0, True]),
        (
            HostPort,
            ["a:1", "127.0.0.1:53", "[::1]:65535"],
            ["a", "a:0", "a:b", "::1:53", ":53", "unix:/a", "a b:1", "a..b:1", 53],
        ),
        (
            DockerUrl,
            ["unix:///a", "http://a:1", "https://a", "tcp://a:1"],
            ["a:1", "ftp://a", "unix://a", "http://", "http://a..b", 5],
        ),
        (LxdUrl, ["unix:///a", "https://a:8443"], ["http://a", "https://", "https://a:x", "unix:/a"]),
        (Array[Text], [["a"], [], ("a",)], ["a", [5], {"a": 1}, None]),
    ],
)
def test_values_are_taken_as_they_must_be_written(kind: object, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if not accepts(kind, value)] == []
    assert [value for value in bad if accepts(kind, value)] == []


def test_a_list_is_immutable_inside() -> None:
    assert TypeAdapter(Array[Text]).validate_python(["a", "b"]) == ("a", "b")


def test_what_is_wrong_with_a_url_is_said_without_the_url() -> None:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(DockerUrl).validate_python("ftp://me:hunter2@host")
    assert str(refused.value.errors()[0]["ctx"]["error"]).startswith("is no address of this kind: write unix://...")


def test_a_secret_is_not_in_the_repr() -> None:
    class Login(BaseModel):
        password: Secret

    assert "hunter2" not in repr(Login(password=Secret("hunter2")))
