"""TLS contexts."""

import ssl
from pathlib import Path

import pytest

from discovery.contract import DiscoveryError
from discovery.tls import client_context


def test_verifies_by_default() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_verifies_nothing_only_when_told_so() -> None:
    assert client_context(verify=False).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("content", [None, "", "no PEM"])
def test_a_file_that_cannot_be_used_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DiscoveryError, match=f"cannot load the CA certificates of {file}: "):
        client_context(ca=str(file))
    with pytest.raises(DiscoveryError, match=f"cannot load the certificate {file}: "):
        client_context(certificate=str(file))
