"""Certificates of client and server, in files as lxc has them."""

import asyncio
import multiprocessing
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from discovery.contract import DiscoveryError
from discovery.daemon.endpoint import Endpoint
from discovery.lxd.trust import Trust, shown_certificate
from tests.discovery.web import serving
from tests.services.certificates import Authority, Certificate
from tests.services.process import LOOPBACK


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_certificate_is_made_once_for_years_and_its_key_is_nobody_elses(tmp_path: Path) -> None:
    trust = Trust(tmp_path / "a" / "lxc", "local")
    trust.generate()
    made = trust.certificate.read_bytes(), trust.key.read_bytes()
    assert (mode(trust.folder), mode(trust.key)) == (0o700, 0o600)
    certificate = x509.load_pem_x509_certificate(made[0])
    assert certificate.not_valid_after_utc > datetime.now(UTC) + timedelta(days=3000)
    assert trust.context().get_ca_certs() is not None  # certificate and key belong together, or this would raise
    trust.generate()
    assert (trust.certificate.read_bytes(), trust.key.read_bytes()) == made
    assert {path.name for path in trust.folder.iterdir()} == {"client.crt", "client.key"}


def test_half_a_pair_is_not_overwritten(tmp_path: Path) -> None:
    trust = Trust(tmp_path, "local")
    trust.key.write_text("mine")
    with pytest.raises(DiscoveryError, match="one of them is missing"):
        trust.generate()
    assert trust.key.read_text() == "mine"


def _generate(folder: Path) -> None:
    Trust(folder, "local").generate()


def test_processes_that_make_it_at_the_same_time_make_one(tmp_path: Path) -> None:
    workers = [multiprocessing.get_context("spawn").Process(target=_generate, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    Trust(tmp_path, "local").context()  # raises where the key is not that of the certificate


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DiscoveryError, match=r"cannot write .*/file/lxc: Not a directory"):
        Trust(tmp_path / "file" / "lxc", "local").generate()


def test_the_first_pinned_certificate_stays(tmp_path: Path) -> None:
    trust = Trust(tmp_path, "lxd-01")
    trust.pin("first")
    trust.pin("second")
    assert (tmp_path / "servercerts" / "lxd-01.crt").read_text() == "first"


async def _answers(endpoint: Endpoint, context: ssl.SSLContext) -> bool:
    try:
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    except ssl.SSLCertVerificationError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


def _server_context(shown: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(shown.certificate, shown.key)
    return context


async def test_the_pinned_certificate_is_accepted_and_no_other_of_its_issuer(tmp_path: Path) -> None:
    """Whatever its names: they say nothing of where an LXD server is reached."""
    authority, trust = Authority(tmp_path), Trust(tmp_path / "lxc", "local")
    async with serving(_server_context(authority.issue("one"))) as server:
        endpoint = Endpoint(host=LOOPBACK, port=server.port, secure=True)
        assert not await _answers(endpoint, trust.context())
        trust.pin(await shown_certificate(endpoint))
        assert await _answers(endpoint, trust.context())
        assert await _answers(Endpoint(host="localhost", port=server.port, secure=True), trust.context())
    async with serving(_server_context(authority.issue("two"))) as server:
        assert not await _answers(Endpoint(host=LOOPBACK, port=server.port, secure=True), trust.context())
