"""plaintext against nginx, with traffic."""

from tests.integration.discovery import scenarios
from tests.integration.discovery.conftest import WebSource
from tests.integration.discovery.traffic import Identity, Traffic


async def test_the_set_grows_and_shrinks_without_a_failed_connection(plaintext_source: WebSource) -> None:
    await scenarios.grows_and_shrinks(plaintext_source)


async def test_the_server_is_killed_and_comes_back_under_keeplast(plaintext_source: WebSource) -> None:
    await scenarios.dies_under_keeplast(plaintext_source)


async def test_the_server_is_killed_and_comes_back_under_setempty(plaintext_source: WebSource) -> None:
    await scenarios.dies_under_setempty(plaintext_source)


async def test_the_server_comes_after_the_balancer(plaintext_source: WebSource) -> None:
    await scenarios.is_dead_at_the_start(plaintext_source)


async def test_malformed_and_hostile_answers_do_not_touch_the_traffic(plaintext_source: WebSource) -> None:
    await scenarios.goes_mad(plaintext_source)


async def test_a_server_slower_than_the_timeout_is_a_failure(plaintext_source: WebSource) -> None:
    async with Identity("a") as a:
        await plaintext_source.publish([a])
        async with Traffic(plaintext_source.discovery) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                plaintext_source.freeze()
                await traffic.logged(f"no answer from unix:{plaintext_source.nginx.socket}:/backends within 500ms")
                plaintext_source.thaw()
                await traffic.logged("answers again: 1 backends")
