"""docs/healthchecks.md: its code runs, and it names every key."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from gobetween_py.healthcheck import registry
from gobetween_py.healthcheck.contract import Check, CheckFailedError
from tests.gobetween_py.healthcheck.sockets import serving

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "healthchecks.md").read_text()


@pytest.fixture
def ssh() -> type[Check]:
    [code] = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    found: dict[str, Any] = {"__name__": "ssh"}
    exec(code, found)
    kind: type[Check] = found["Ssh"]
    return kind


async def test_the_kind_of_your_own_works(ssh: type[Check]) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    async with serving(greet) as target:
        good = ssh(ssh.Options.model_validate({"interval": "1s", "ssh_software": "OpenSSH"}))
        assert await good.check(target) == "SSH-2.0-OpenSSH_9.2"
        bad = ssh(ssh.Options.model_validate({"interval": "1s", "ssh_software": "dropbear"}))
        with pytest.raises(CheckFailedError, match="greeted with 'SSH"):
            await bad.check(target)


@pytest.mark.parametrize("kind", registry.kinds())
def test_every_key_is_named(kind: str) -> None:
    keys = {key for key in registry.options_of(kind).model_fields if not key.startswith("http_tls_")}
    assert {key for key in keys if f"`{key}`" not in DOCS} - {"on_down", "slow_start", "panic_threshold"} == set()
    assert all(f"`{key} = " in DOCS for key in ("on_down", "slow_start", "panic_threshold"))


def test_every_kind_has_a_section_and_stands_in_the_reference() -> None:
    reference = (ROOT / "configs" / "reference.toml").read_text()
    assert {kind for kind in registry.BUILT_IN if f"\n## {kind}\n" not in DOCS} == set()
    assert {kind for kind in registry.BUILT_IN if f'kind = "{kind}"' not in reference} == set()
