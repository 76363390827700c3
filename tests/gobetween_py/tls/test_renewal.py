"""Files that change, on a real file system: new connections get the new certificate, and rubbish changes nothing."""

import asyncio
import logging
import os
from pathlib import Path

import pytest

from gobetween_py.config import load
from gobetween_py.tls import renewal
from gobetween_py.tls.security import Security
from gobetween_py.web import CertificateError
from tests.services.certificates import Authority, Certificate


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "QUIET", 0.05)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def security(own: Certificate) -> Security:
    config = load(
        f"""
        [servers.a]
        bind = "127.0.0.1:0"
        protocol = "tls"
        tls = {{ cert_path = "{own.certificate}", key_path = "{own.key}" }}
        discovery = {{ kind = "static", static_list = ["127.0.0.1:1"] }}
        """
    )
    return Security("a", config.servers["a"])


async def until(holds: object) -> None:
    assert callable(holds)
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_a_renewed_certificate_is_used(authority: Authority) -> None:
    """Certificate and key are replaced one after the other, as a renewal does."""
    own, new = authority.issue("localhost"), authority.issue("renewed")
    tls = security(own)
    assert tls.termination is not None
    before = tls.termination.context
    running = asyncio.create_task(tls.run())
    await asyncio.sleep(0.2)
    os.replace(new.certificate, own.certificate)
    os.replace(new.key, own.key)
    await until(lambda: tls.termination.context is not before)  # type: ignore[union-attr]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_rubbish_leaves_what_is_in_use(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    own = authority.issue("localhost")
    tls = security(own)
    assert tls.termination is not None
    before = tls.termination.context
    running = asyncio.create_task(tls.run())
    await asyncio.sleep(0.2)
    with caplog.at_level(logging.ERROR):
        own.certificate.write_text("rubbish")
        await until(lambda: caplog.records)
    assert tls.termination.context is before
    [record] = caplog.records
    assert str(own.certificate) in record.getMessage()
    assert "servers.a.tls.cert_path" in record.getMessage()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def test_a_server_with_a_wrong_key_does_not_begin(authority: Authority) -> None:
    own, other = authority.issue("localhost"), authority.issue("other")
    with pytest.raises(CertificateError, match=r"servers\.a\.tls\.key_path: .* is not the key of"):
        security(Certificate(own.certificate, other.key))
