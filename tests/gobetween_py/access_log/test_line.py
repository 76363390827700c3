"""What a line says of a connection, of real ones through a listener."""

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.access_log import AccessLog, Writers
from gobetween_py.access_log.line import client_address, plain, rfc3339, text_pattern
from gobetween_py.config.access_log import FIELDS, Output, parts_of
from gobetween_py.config.access_log import AccessLog as Settings
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.reason import Reason
from tests.gobetween_py.proxy.rig import Rig


@contextlib.asynccontextmanager
async def logged(rig: Rig, path: Path, form: str, server: str = "web") -> AsyncIterator[None]:
    """The rig's connections are logged; at the end everything is in the file."""
    writers = Writers(asyncio.get_running_loop())
    log = AccessLog(server, Settings(output=Output("file", path=str(path)), format=form), writers)
    rig.listener.on_end, rig.listener.on_refusal = (log.ended,), (log.refused,)
    try:
        yield
    finally:
        await rig.until(lambda: not rig.listener.connections)
        rig.listener.on_end = rig.listener.on_refusal = ()
        await writers.close()


async def talk(rig: Rig) -> str:
    """A client asks and gets its answer, and the backend closes; the client's address."""
    client, backend = await rig.pair()
    await rig.send(client, b"question")
    assert await rig.receive(backend) == b"question"
    await rig.send(backend, b"the answer")
    backend.close()
    assert await rig.receive_all(client) == b"the answer"
    address = "{}:{}".format(*client.getsockname())
    client.close()
    return address


async def test_json_says_everything(tmp_path: Path):
    before = datetime.now(UTC)
    async with Rig() as rig, logged(rig, tmp_path / "log", "json", server='a "web" server'):
        client = await talk(rig)
        backend = rig.pool.backends[0].address
    line = json.loads((tmp_path / "log").read_text())
    assert list(line) == list(FIELDS)
    time = datetime.fromisoformat(line.pop("time"))
    assert before - timedelta(milliseconds=1) <= time <= datetime.now(UTC)
    assert 0 < line.pop("connect_time") <= line.pop("total_time") < 10
    assert line == {
        "server": 'a "web" server',
        "client": client,
        "backend": backend,
        "tx": 8,
        "rx": 10,
        "attempts": 1,
        "reason": "backend",
        "sni": None,
    }


async def test_text_says_the_same_in_words_of_one_piece(tmp_path: Path):
    async with Rig() as rig, logged(rig, tmp_path / "log", "text", server="a b"):
        client = await talk(rig)
        backend = rig.pool.backends[0].address
    number = r"\d+\.\d{6}"
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z a\\u0020b "
        rf"{re.escape(client)} -> {re.escape(backend)} tx=8 rx=10 connect_time={number} total_time={number} "
        r"attempts=1 reason=backend sni=-\n",
        (tmp_path / "log").read_text(),
    )


async def test_a_form_of_ones_own(tmp_path: Path):
    async with Rig() as rig, logged(rig, tmp_path / "log", "100% of {rx}+{tx} {{bytes}} {reason}, {rx} again"):
        await talk(rig)
    assert (tmp_path / "log").read_text() == "100% of 10+8 {bytes} backend, 10 again\n"


async def test_what_there_was_not_is_null_or_a_dash(tmp_path: Path):
    for form, nothing in (("json", "null"), ("text", "-")):
        path = tmp_path / form
        async with Rig(backends=0, dead=1) as rig, logged(rig, path, form):
            client = await rig.connect()
            assert await rig.receive(client) == b""
            client.close()
        assert path.read_text().count(nothing) >= 3
    line = json.loads((tmp_path / "json").read_text())
    assert (line["backend"], line["connect_time"], line["attempts"], line["reason"]) == (
        None,
        None,
        1,
        "connect_failed",
    )


@pytest.mark.parametrize("form", ["json", "text"])
async def test_a_client_turned_away_at_the_door_has_a_line_too(tmp_path: Path, form: str):
    access = Access([(False, ip_network("127.0.0.1"))])
    async with Rig(access=access) as rig, logged(rig, tmp_path / "log", form):
        client = await rig.connect()
        assert await rig.receive(client) == b""
        address = "{}:{}".format(*client.getsockname())
        client.close()
    text = (tmp_path / "log").read_text()
    assert address in text
    if form == "json":
        line = json.loads(text)
        assert (line["reason"], line["attempts"], line["total_time"], line["tx"]) == ("access", 0, 0, 0)
    else:
        assert f"{address} -> - tx=0 rx=0 connect_time=- total_time=0.000000 attempts=0 reason=access sni=-\n" in text


@pytest.mark.parametrize(
    ("host", "port", "shown"),
    [
        ("192.0.2.7", 5, "192.0.2.7:5"),
        ("::ffff:192.0.2.7", 5, "192.0.2.7:5"),
        ("2001:db8::7", 5, "[2001:db8::7]:5"),
        ("fe80::1%eth0", 5, "[fe80::1%eth0]:5"),
        ("", 0, "unix:"),
    ],
)
def test_clients_of_every_kind_of_address(host: str, port: int, shown: str):
    assert client_address(host, port) == shown


@given(st.text(max_size=30))
def test_no_value_ends_its_field_or_its_line(value: str):
    shown = plain(value)
    assert len(shown.split()) <= 1
    assert shown.isprintable()


@given(
    st.lists(
        st.one_of(
            st.sampled_from([f"{{{field}}}" for field in FIELDS]),
            st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="{}"), max_size=5),
            st.sampled_from(["{{", "}}"]),
        ),
        max_size=10,
    )
)
def test_a_template_is_filled_as_str_format_fills_it(pieces: list[str]):
    template = "".join([*pieces, "{rx}"])
    values: dict[str, object] = {field: f"<{field}>" for field in FIELDS} | {"total_time": 0.25}
    try:
        parts_of(template)
    except ValueError:
        assert not template.isprintable()
        return
    pattern, positions = text_pattern(template)
    filled = pattern % tuple([*values.values()][position] for position in positions)
    assert filled == template.format(**values | {"total_time": "0.250000"})


@given(st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)))
def test_times_are_as_rfc_3339_has_them(time: datetime):
    exact = time.replace(microsecond=time.microsecond // 1000 * 1000, tzinfo=UTC)
    since = (exact - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert rfc3339(since) == exact.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def test_the_time_of_day_goes_on(tmp_path: Path):
    """Lines of the same millisecond share its text."""
    async with Rig() as rig, logged(rig, tmp_path / "log", "{time}"):
        await talk(rig)
        await asyncio.sleep(1.1)
        await talk(rig)
    first, second = map(datetime.fromisoformat, (tmp_path / "log").read_text().split())
    assert timedelta(seconds=1.05) < second - first


async def test_unix_clients_are_named_as_such(tmp_path: Path):
    async with Rig() as rig:
        path = str(tmp_path / "socket")
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        listening.listen()
        rig.listener.move(listening)
        async with logged(rig, tmp_path / "log", "{client}"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            backend = await rig.accept()
            client.close()
            backend.close()
    assert (tmp_path / "log").read_text() == "unix:\n"


def test_the_manual_names_every_field_and_every_reason():
    manual = (Path(__file__).parents[3] / "docs" / "access-log.md").read_text()
    named = {name for row in re.findall(r"^\| ([\w, ]+) \|", manual, re.MULTILINE) for name in row.split(", ")}
    assert {*FIELDS, *(reason.value for reason in Reason)} - named == set()
