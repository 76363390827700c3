"""What the API and the metrics tell of certificates: those in files, and those that are ordered."""

import re
import time
from datetime import datetime
from pathlib import Path

import pytest

from gobetween_py.acme.issuance import Issuance
from tests.gobetween_py.acme.settings import keep, unreachable
from tests.gobetween_py.running import API, METRICS, Running, server
from tests.services.certificates import Authority

DAY = 86_400


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def config(authority: Authority, cache: Path) -> str:
    """One certificate in files, one in the cache, and one that no order will bring."""
    own, settings = authority.issue("own.test", "www.own.test"), unreachable(cache)
    keep(settings, authority, "kept.test")
    tls = (
        f'protocol = "tls"\ntls = {{ cert_path = "{own.certificate}", key_path = "{own.key}",'
        ' acme_hosts = ["kept.test", "none.test"] }'
    )
    acme = f'[acme]\nchallenge = "tls-alpn"\ncache_dir = "{cache}"\ndirectory_url = "{settings.directory_url}"\n'
    return API + METRICS + acme + server("web", "127.0.0.1:1", extra=tls) + server("plain", "127.0.0.1:1")


async def failed(running: Running) -> None:
    issuance = running.app._fleet.issuance
    assert isinstance(issuance, Issuance)
    await running.until(lambda: issuance.statuses["none.test"].failing)


async def test_the_api_tells_of_certificates_and_orders(authority: Authority, tmp_path: Path) -> None:
    async with Running(config(authority, tmp_path / "cache")) as running:
        await failed(running)
        told = await running.get("/certificates")
        assert [(each["server"], each["names"]) for each in told["certificates"]] == [
            ("web", ["own.test", "www.own.test"]),
            ("web", ["kept.test"]),
        ]
        for each in told["certificates"]:
            begins, ends = map(datetime.fromisoformat, (each["begins"], each["ends"]))
            assert (ends - begins).days == 1
        kept, none = told["orders"]
        assert kept == {
            "server": "web",
            "host": "kept.test",
            "issued": 0,
            "failures": 0,
            "failing": False,
            "last_error": "",
        }
        assert (none["host"], none["failing"]) == ("none.test", True)
        assert "Connection refused" in none["last_error"]
        assert await running.get("/certificates?server=plain") == {"orders": [], "certificates": []}
        assert (await running.call("GET", "/certificates?server=nobody")).status == 404


async def test_the_metrics_tell_when_certificates_end(authority: Authority, tmp_path: Path) -> None:
    async with Running(config(authority, tmp_path / "cache")) as running:
        await failed(running)
        text = (await running.call("GET", "/metrics", at="metrics")).body
        found = dict(
            re.findall(r'^gobetween_certificate_expiry_timestamp_seconds\{names="(.*)",server="web"} (.*)$', text, re.M)
        )
        assert set(found) == {"own.test,www.own.test", "kept.test"}
        for moment in map(float, found.values()):
            assert 0 < moment - time.time() <= DAY
        assert 'gobetween_acme_failing{host="none.test",server="web"} 1.0' in text
        assert 'gobetween_acme_failures_total{host="kept.test",server="web"} 0.0' in text
