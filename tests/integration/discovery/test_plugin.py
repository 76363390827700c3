"""A kind from a package of a third party, with traffic."""

import os
from pathlib import Path

from tests.discovery.plugin_package.install import install
from tests.integration.discovery.traffic import Identity, Traffic

ROOT = Path(__file__).parents[3]


async def test_a_kind_of_a_third_party_serves(tmp_path: Path) -> None:
    install(tmp_path)
    environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])}
    async with Identity("a") as a:
        discovery = f'kind = "weekday"\nweekday_list = ["{a.address}"]'
        async with Traffic(discovery, environment=environment) as traffic:
            await traffic.served_by("a")
