"""From loose values to a backend."""

import pytest

from discovery.entry import MAX_NUMBER, make_spec


def test_text_and_numbers_mean_the_same() -> None:
    text = make_spec("a", "80", weight="2", priority="3", max_connections="4", sni="x")
    assert text == make_spec("a", 80, weight=2, priority=3, max_connections=4, sni="x")
    assert (text.port, text.weight, text.priority, text.max_connections) == (80, 2, 3, 4)


@pytest.mark.parametrize("host", ["::1", "[::1]", "0:0:0:0:0:0:0:1", "[0::0001]"])
def test_ipv6_is_one_host_however_it_is_written(host: str) -> None:
    assert make_spec(host, 80).key == ("::1", 80)


@pytest.mark.parametrize(
    "host", ["localhost", "a-b_c.example.com", "a.example.com.", "10.0.0.1", "0.0.0.0", "xn--bcher-kva", "b\u00fccher"]
)
def test_names_and_ipv4_stay_as_they_are(host: str) -> None:
    assert make_spec(host, 80).host == host


@pytest.mark.parametrize(
    "host",
    [
        "",
        " ",
        "a b",
        "a/b",
        "[a]",
        "[]",
        "[",
        "a]",
        "256.0.0.1",
        "1.2.3",
        "01.2.3.4",
        "1::2::3",
        "a:b",
        "a..b",
        ".a",
        "x" * 64,
        "x." * 127,
        "\u00fc" * 60,
    ],
)
def test_other_hosts_are_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"^host "):
        make_spec(host, 80)


@pytest.mark.parametrize(
    "port", ["", "0", "65536", "-1", "80a", " 80", "8_0", "+80", "\u0668\u0660", "9" * 5000, 0, 65536, True]
)
def test_ports_outside_of_1_to_65535_are_refused(port: str | int) -> None:
    with pytest.raises(ValueError, match=r"^port .* is not a whole number from 1 to 65535$"):
        make_spec("a", port)


@pytest.mark.parametrize("name", ["weight", "priority", "max_connections"])
@pytest.mark.parametrize("value", [-1, "-1", MAX_NUMBER + 1, "", "x", 1.5])
def test_options_are_whole_numbers_from_0(name: str, value: str | int) -> None:
    with pytest.raises(ValueError, match=f"^{name} .* is not a whole number from 0 to 2147483647$"):
        make_spec("a", 80, **{name: value})


def test_a_unix_socket_has_no_port() -> None:
    assert make_spec("unix:/run/a.sock", "whatever").key == ("unix:/run/a.sock", 0)


@pytest.mark.parametrize(
    "address", ["unix:", "unix:a.sock", "unix:/" + "x" * 107, "unix:/" + "\u00e4" * 54, "unix:/a\0b"]
)
def test_a_unix_socket_needs_an_absolute_path_that_fits(address: str) -> None:
    with pytest.raises(ValueError, match="path"):
        make_spec(address, 0)
