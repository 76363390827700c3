import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.config import Bind

PORTS = st.integers(0, 65535)
HOSTS = st.one_of(
    st.just(""),
    st.ip_addresses().map(str),
    st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z]{2,8})?", fullmatch=True),
)


@pytest.mark.parametrize(
    ("text", "bind"),
    [
        (":3000", Bind("", 3000)),
        ("127.0.0.1:0", Bind("127.0.0.1", 0)),
        ("localhost:65535", Bind("localhost", 65535)),
        ("[::]:3000", Bind("::", 3000)),
        ("[2001:DB8::0:1]:80", Bind("2001:db8::1", 80)),
        ("unix:/run/a b.sock", Bind("", 0, "/run/a b.sock")),
    ],
)
def test_forms(text: str, bind: Bind) -> None:
    assert Bind.parse(text) == bind


@pytest.mark.parametrize(
    "text",
    [
        *["", ":", "3000", "localhost", "localhost:", "localhost:http", ":65536", ":-1", ":+1", ": 80", "::1:80"],
        *["[::1]", "[::1", "[::1]80", "[::1]:80:80", "[127.0.0.1]:80", "[localhost]:80", "256.0.0.1:80", "1.2.3:80"],
        *["a b:80", "http://a:80", "unix:", "unix:a.sock", "unix:/" + "a" * 107, "unix:/a\0b", "unix:/\ud800"],
        *["a" * 254 + ":80", "\ud800:80", "[fe80::1%]:80"],
        *[80, None, ["::", 80]],
    ],
)
def test_what_is_no_bind_is_a_value_error(text: object) -> None:
    with pytest.raises(ValueError, match=" "):
        Bind.parse(text)


@given(HOSTS, PORTS)
def test_the_text_of_a_bind_is_read_as_the_same_bind(host: str, port: int) -> None:
    bind = Bind(host, port)
    assert Bind.parse(str(bind)) == bind


@given(st.text())
def test_any_text_is_a_bind_or_a_value_error(text: str) -> None:
    try:
        bind = Bind.parse(text)
    except ValueError:
        return
    assert Bind.parse(str(bind)) == bind


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (":80", ":80", True),
        (":80", ":81", False),
        (":80", "127.0.0.1:80", True),
        (":80", "[::1]:80", True),
        (":80", "localhost:80", True),
        ("[::]:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "[::1]:80", False),
        ("0.0.0.0:80", ":80", True),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("127.0.0.1:80", "localhost:80", False),
        ("LOCALHOST:80", "localhost:80", True),
        ("[::1]:80", "[0:0::1]:80", True),
        (":0", ":0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", ":0", False),
    ],
)
def test_two_binds_overlap_when_the_kernel_would_refuse_the_second(one: str, other: str, same: bool) -> None:
    assert Bind.parse(one).overlaps(Bind.parse(other)) is same
    assert Bind.parse(other).overlaps(Bind.parse(one)) is same
