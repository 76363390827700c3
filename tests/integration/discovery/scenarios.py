"""What every kind has to stand with traffic flowing, whatever its source is."""

import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from tests.discovery.web import HOSTILE, Answer
from tests.integration.discovery.traffic import Identity, Traffic, peak_memory


class Source(Protocol):
    """A source that the test controls."""

    discovery: str
    """TOML: kind and its options, without failpolicy."""

    async def publish(self, backends: Sequence[Identity]) -> None:
        """From now on these are the backends."""

    async def fail(self) -> None:
        """It dies."""

    async def recover(self) -> None:
        """It is back, with what was published last."""


class Writable(Source, Protocol):
    """A source that gives whatever the test wants it to."""

    async def write(self, content: bytes) -> None:
        """From now on this is the answer."""

    async def write_gigabyte(self) -> None:
        """From now on the answer is a gigabyte of zeros."""


MALFORMED = {
    "binary": bytes(range(256)) * 4096,
    "a page with an error": b"<html>\n<title>502 Bad Gateway</title>\n</html>\n",
    "nested": b"[" * 1_000_000,
    "one large entry": json.dumps([["127.0.0.1"] * 500_000]).encode(),
}


async def grows_and_shrinks(source: Source) -> None:
    """The set changes many times under traffic: no connection fails, and one to a backend taken out goes on."""
    async with contextlib.AsyncExitStack() as stack:
        a, b, c = [await stack.enter_async_context(Identity(name)) for name in "abc"]
        await source.publish([a])
        traffic = await stack.enter_async_context(Traffic(source.discovery))
        await traffic.served_by("a")
        async with traffic.without_failure() as window:
            for backends in [a, b], [a, b, c], [b, c], [c], [a, c]:
                await source.publish(backends)
                seconds = await traffic.served_by(*(backend.name for backend in backends))
                print(f"{'+'.join(backend.name for backend in backends)} after {seconds:.2f} s")
            held = await traffic.hold("a")
            await source.publish([c])
            await traffic.served_by("c")
            await held.ping()
            held.close()
        print(f"{len(window.order)} connections, {len(window.failures)} failed: {dict(window.answers)}")


async def dies_under_keeplast(source: Source) -> None:
    """The source dies: the last backends go on serving without a failure; when it is back, what it says counts."""
    async with Identity("a") as a, Identity("b") as b:
        await source.publish([a])
        async with Traffic(source.discovery) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure() as window:
                await source.fail()
                await traffic.logged("the last 1 backends are kept")
                await traffic.served_by("a")
                await source.publish([a, b])
                await source.recover()
                print(f"recovered after {await traffic.served_by('a', 'b'):.2f} s")
            assert "answers again: 2 backends" in traffic.log
            assert traffic.told("discovery failed") == 1, "once per change of state, not once per try"
            print(f"{len(window.order)} connections, none failed")


async def dies_under_setempty(source: Source) -> None:
    """The source dies: clients are refused; when it is back, they are served again."""
    async with Identity("a") as a:
        await source.publish([a])
        async with Traffic(f'failpolicy = "setempty"\n{source.discovery}') as traffic:
            await traffic.served_by("a")
            await source.fail()
            print(f"refused after {await traffic.refused():.2f} s")
            await source.recover()
            print(f"served after {await traffic.served_by('a'):.2f} s")


async def is_dead_at_the_start(source: Source) -> None:
    """The balancer starts before its source: it says so, and serves as soon as the source is there."""
    async with Identity("a") as a:
        await source.publish([a])
        await source.fail()
        async with Traffic(source.discovery) as traffic:
            await traffic.logged("no backends were ever found, none until it answers")
            await source.recover()
            await traffic.served_by("a")


async def goes_mad(source: Writable) -> None:
    """Whatever the source says, traffic goes on with the last backends; when it is sane again, what it says counts."""
    async with Identity("a") as a:
        await source.publish([a])
        async with Traffic(source.discovery) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure() as window:
                for times, (name, content) in enumerate(MALFORMED.items(), 1):
                    await source.write(content)
                    await fails_and_recovers(traffic, times, lambda: source.publish([a]))
                    print(f"{name}: {traffic.log.rpartition('discovery failed: ')[2].splitlines()[0]}")
                before = peak_memory(traffic.balancer.pid)
                await source.write_gigabyte()
                await traffic.logged("than 8 MiB")
                growth = peak_memory(traffic.balancer.pid) - before
                await fails_and_recovers(traffic, len(MALFORMED) + 1, lambda: source.publish([a]))
            print(f"a gigabyte: peak memory +{growth} kB; {len(window.order)} connections, none failed")
            assert growth < 32_000


async def server_goes_mad(discovery: str, say: Callable[[Answer | None], None]) -> None:
    """The same with an HTTP server in the place of a kind's own.

    Args:
        discovery: TOML, without failpolicy.
        say: makes the server answer so; None: as the kind's own does, with one backend.
    """

    async def be_sane() -> None:
        say(None)

    await be_sane()
    async with Traffic(discovery) as traffic:
        await traffic.logged("discovery: 1 backends")
        async with traffic.without_failure() as window:
            for times, (name, hostile) in enumerate(HOSTILE.items(), 1):
                say(hostile)
                await fails_and_recovers(traffic, times, be_sane)
                print(f"{name}: {traffic.log.rpartition('discovery failed: ')[2].splitlines()[0]}")
    print(f"{len(window.order)} connections, none failed")


async def fails_and_recovers(traffic: Traffic, times: int, recover: Callable[[], Awaitable[None]]) -> None:
    """For this many times now."""
    await traffic.told_times(times, "discovery failed: ")
    await recover()
    await traffic.told_times(times, "answers again: 1 backends")
