"""json against nginx, with traffic."""

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


async def test_malformed_and_hostile_answers_do_not_touch_the_traffic(json_source: WebSource) -> None:
    await scenarios.goes_mad(json_source)


async def test_bad_entries_are_left_out_while_the_others_serve(json_source: WebSource) -> None:
    async with Identity("a") as a:
        await json_source.publish([a])
        async with Traffic(json_source.discovery) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                await json_source.write(f'[1, {{}}, "{a.address}", {{"host": "b", "port": 0}}]'.encode())
                await traffic.logged("json discovery: skipped entry 2: no host")
                await traffic.logged("json discovery: skipped entry 4: port '0'")
                await traffic.served_by("a")
