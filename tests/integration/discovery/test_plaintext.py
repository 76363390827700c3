"""plaintext against nginx, with traffic."""

from tests.integration.discovery import scenarios
from tests.integration.discovery.conftest import WebSource


async def test_the_set_grows_and_shrinks_without_a_failed_connection(plaintext_source: WebSource) -> None:
    await scenarios.grows_and_shrinks(plaintext_source)


async def test_the_server_is_killed_and_comes_back_under_keeplast(plaintext_source: WebSource) -> None:
    await scenarios.dies_under_keeplast(plaintext_source)


async def test_the_server_is_killed_and_comes_back_under_setempty(plaintext_source: WebSource) -> None:
    await scenarios.dies_under_setempty(plaintext_source)


async def test_the_server_comes_after_the_balancer(plaintext_source: WebSource) -> None:
    await scenarios.is_dead_at_the_start(plaintext_source)
