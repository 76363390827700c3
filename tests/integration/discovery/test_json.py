"""json against nginx, with traffic."""

from pathlib import Path

import pytest

from tests.integration.discovery import scenarios
from tests.integration.discovery.conftest import WebSource
from tests.integration.discovery.traffic import Identity, Traffic


async def test_the_set_grows_and_shrinks_without_a_failed_connection(json_source: WebSource) -> None:
    await scenarios.grows_and_shrinks(json_source)


async def test_the_server_is_killed_and_comes_back_under_keeplast(json_source: WebSource) -> None:
    await scenarios.dies_under_keeplast(json_source)


async def test_the_server_is_killed_and_comes_back_under_setempty(json_source: WebSource) -> None:
    await scenarios.dies_under_setempty(json_source)


async def test_the_server_comes_after_the_balancer(json_source: WebSource) -> None:
    await scenarios.is_dead_at_the_start(json_source)


async def test_a_server_slower_than_the_timeout_is_a_failure(json_source: WebSource) -> None:
    async with Identity("a") as a:
        await json_source.publish([a])
        async with Traffic(json_source.discovery) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                json_source.freeze()
                await traffic.logged(
                    f"no answer from {json_source.nginx.url}/backends within 500ms; the last 1 backends are kept"
                )
                json_source.thaw()
                await traffic.logged("answers again: 1 backends")


async def test_a_gigabyte_is_a_failure_that_costs_no_memory(json_source: WebSource) -> None:
    async with Identity("a") as a:
        await json_source.publish([a])
        async with Traffic(json_source.discovery) as traffic:
            await traffic.served_by("a")
            before = _peak(traffic.balancer.pid)
            async with traffic.without_failure():
                with (json_source.nginx.root / "new").open("wb") as file:
                    file.truncate(1 << 30)
                (json_source.nginx.root / "new").rename(json_source.nginx.root / "backends")
                await traffic.logged("answered more than 8 MiB; the last 1 backends are kept")
            print(f"peak memory +{_peak(traffic.balancer.pid) - before} kB")
            assert _peak(traffic.balancer.pid) - before < 32_000


def _peak(pid: int) -> int:
    """The most memory the process ever had, in kB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("answer", [b"[" * 1_000_000, b'{"host"', bytes(range(256)), b"x" * (9 << 20), b"[1, {}]"])
async def test_malformed_and_hostile_answers_do_not_touch_the_traffic(json_source: WebSource, answer: bytes) -> None:
    async with Identity("a") as a:
        await json_source.publish([a])
        async with Traffic(f'failpolicy = "keeplast"\n{json_source.discovery}') as traffic:
            await traffic.served_by("a")
            json_source.nginx.write("backends", answer)
            if answer == b"[1, {}]":
                await traffic.logged("json discovery: skipped entry 2: no host")
                await traffic.refused()
            else:
                async with traffic.without_failure():
                    await traffic.logged("json discovery failed: ")
            await json_source.publish([a])
            await traffic.served_by("a")
