"""The profiler over real HTTP, beside work that it is to find."""

import asyncio
import builtins
import json
import sys
import tracemalloc
from collections.abc import AsyncIterator
from xml.etree import ElementTree

import aiohttp
import pytest

from gobetween_py.config import Bind
from gobetween_py.profiler.endpoint import Endpoint

SVG = "{http://www.w3.org/2000/svg}"


class Client:
    """Asks the profiler: (status, content type, body)."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session = session
        self.base = f"http://127.0.0.1:{port}"

    async def get(self, path: str) -> tuple[int, str, str]:
        async with self.session.get(self.base + path) as response:
            return response.status, response.content_type, await response.text()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    endpoint = Endpoint(Bind("127.0.0.1", 0))
    await endpoint.start()
    async with aiohttp.ClientSession() as session:
        yield Client(session, endpoint.port)
    await endpoint.stop()


def toil() -> int:
    return sum(number * number for number in range(20_000))


async def busy() -> None:
    while True:
        toil()
        await asyncio.sleep(0)


@pytest.fixture
async def work() -> AsyncIterator[None]:
    """Something that takes the thread's time."""
    task = asyncio.create_task(busy(), name="the busy one")
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_page_leads_to_everything_there_is(client: Client):
    status, content_type, page = await client.get("/")
    assert (status, content_type) == (200, "text/html")
    for path in ("profile?seconds=10", "format=speedscope", "tasks", "memory?seconds=10"):
        assert f'{path}"' in page


@pytest.mark.usefixtures("work")
async def test_a_flame_graph_shows_what_took_the_time_above_who_called_it(client: Client):
    status, content_type, text = await client.get("/profile?seconds=0.5")
    assert (status, content_type) == (200, "image/svg+xml")
    found = {group.findtext(f"{SVG}title"): group.find(f"{SVG}rect") for group in ElementTree.fromstring(text)[2:]}
    [caller], [called], [innermost] = (
        [box for tip, box in found.items() if tip.startswith(f"{name} ")] for name in ("busy", "toil", "<genexpr>")
    )
    assert float(called.get("width")) > 600  # of 1200
    assert float(caller.get("width")) >= float(called.get("width"))
    assert float(caller.get("y")) > float(called.get("y")) > float(innermost.get("y"))
    assert float(caller.get("x")) <= float(called.get("x"))


@pytest.mark.usefixtures("work")
async def test_speedscope_gets_frames_and_balanced_events(client: Client):
    status, content_type, text = await client.get("/profile?seconds=0.3&format=speedscope")
    assert (status, content_type) == (200, "application/json")
    profile = json.loads(text)
    assert profile["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert "toil" in {frame["name"] for frame in profile["shared"]["frames"]}
    events = [event["type"] for event in profile["profiles"][0]["events"]]
    assert events.count("O") == events.count("C") > 10


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize(("form", "content_type"), [("html", "text/html"), ("text", "text/plain")])
async def test_other_forms_name_the_function_too(client: Client, form: str, content_type: str):
    status, told, text = await client.get(f"/profile?seconds=0.3&format={form}")
    assert (status, told) == (200, content_type)
    assert "toil" in text


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("seconds=0", "seconds '0' is not a number above 0, up to 60"),
        ("seconds=61", "seconds '61'"),
        ("seconds=nan", "seconds 'nan'"),
        ("seconds=x", "seconds 'x'"),
        ("format=png", "format 'png' is not one of flamegraph, html, speedscope, text"),
    ],
)
async def test_a_wrong_question_is_refused_in_words(client: Client, query: str, words: str):
    status, _, text = await client.get(f"/profile?{query}")
    assert status == 400
    assert text.startswith(words)


async def test_one_thing_is_measured_at_a_time(client: Client):
    first = asyncio.create_task(client.get("/profile?seconds=0.5"))
    await asyncio.sleep(0.2)
    assert (await client.get("/memory?seconds=0.1"))[0] == 409
    assert (await client.get("/tasks"))[0] == 200
    assert (await first)[0] == 200
    assert (await client.get("/memory?seconds=0.1"))[0] == 200


async def test_a_measurement_ends_with_the_client_that_wanted_it(client: Client):
    """The profile function of the thread, which makes every call dearer, is gone again."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await client.get("/profile?seconds=30")
    async with asyncio.timeout(10):
        while (await client.get("/memory?seconds=0.01"))[0] != 200:
            await asyncio.sleep(0.01)
    assert sys.getprofile() is None
    assert not tracemalloc.is_tracing()


async def test_without_pyinstrument_the_remedy_is_told(client: Client, monkeypatch: pytest.MonkeyPatch):
    found = builtins.__import__

    def missing(name: str, *others: object, **more: object) -> object:
        if name.startswith("pyinstrument"):
            raise ImportError(name)
        return found(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    status, _, text = await client.get("/profile?seconds=0.1")
    assert status == 501
    assert text == "profiles need pyinstrument: pip install 'pygobetween[profiler]'\n"
    assert (await client.get("/memory?seconds=0.01"))[0] == 200


async def test_tasks_are_told_with_where_they_wait(client: Client):
    gate = asyncio.Event()

    async def inner() -> None:
        await gate.wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer(), name="the waiting one")
    await asyncio.sleep(0)
    status, content_type, text = await client.get("/tasks")
    gate.set()
    await task
    assert (status, content_type) == (200, "text/plain")
    paragraph = next(part for part in text.split("\n\n") if part.startswith("the waiting one\n"))
    told = [line.split()[0].rpartition(".")[2] for line in paragraph.splitlines()[1:]]
    assert told == ["outer", "inner", "wait"]
    assert "tests/gobetween_py/profiler/test_endpoint.py:" in paragraph


async def test_memory_names_the_line_that_keeps_what_it_allocated(client: Client):
    kept: list[bytes] = []
    asking = asyncio.create_task(client.get("/memory?seconds=0.5"))
    await asyncio.sleep(0.2)
    kept.append(b"%d" % 1 * 3_000_000)
    line = sys._getframe().f_lineno - 1
    status, content_type, text = await asking
    assert (status, content_type) == (200, "text/plain")
    assert text.startswith("resident: ")
    first = text.splitlines()[4]
    assert first.endswith(f"tests/gobetween_py/profiler/test_endpoint.py:{line}")
    assert 3_000_000 < int(first.split()[0].replace(",", "")) < 3_001_000
    assert not tracemalloc.is_tracing()


async def test_tracing_that_was_on_before_stays_on(client: Client):
    tracemalloc.start()
    try:
        await client.get("/memory?seconds=0.01")
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()
