"""An [acme] whose authority nobody can reach, and certificates that an authority of the test's issues instead."""

from pathlib import Path

from gobetween_py.acme.store import Store
from gobetween_py.config.acme import Acme
from tests.services.certificates import Authority
from tests.services.ports import free_port


def unreachable(cache: Path, **keys: object) -> Acme:
    return Acme(cache_dir=str(cache), directory_url=f"https://127.0.0.1:{free_port()}/dir", **keys)  # type: ignore[arg-type]


def issue(authority: Authority, host: str) -> bytes:
    """Key and certificate as they lie in the cache; valid for a day from now."""
    made = authority.issue(host)
    return made.key.read_bytes() + made.certificate.read_bytes()


def keep(settings: Acme, authority: Authority, host: str) -> str:
    """Put a new certificate into the cache; returns its path."""
    return Store(settings).keep_certificate(host, issue(authority, host)).path
