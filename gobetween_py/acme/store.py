"""cache_dir: the account's key and the certificates, for us alone to read, and whole whenever they are read.

    CACHE_DIR/AUTHORITY/account.key, or account-KEY_ID.key where it is bound to an external account
    CACHE_DIR/AUTHORITY/HOST.pem        the key, then the certificate and its chain

AUTHORITY is made of the directory's URL: certificates of a staging directory are not those of another one.

gobetween's own (Go's autocert, from Let's Encrypt) are CACHE_DIR/HOST, of the same form. They are read where there is
none of ours, and left as they are.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import ssl
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from gobetween_py.acme.errors import AcmeError
from gobetween_py.config.acme import LETS_ENCRYPT, Acme
from gobetween_py.tls.certificates import Certificate, read_certificate

log = logging.getLogger("pygobetween.acme")

Read = TypeVar("Read")


@dataclass(frozen=True, slots=True)
class Stored:
    """A certificate on disk."""

    path: str
    certificate: Certificate


class Store:
    """What is kept for one authority and account. Safe for use by several processes at once."""

    def __init__(self, settings: Acme) -> None:
        account = settings.external_account
        authority = settings.directory_url.partition("://")[2].rpartition("@")[2]  # without a password
        self.folder = Path(settings.cache_dir, _plain(authority))
        self._of_gobetween = Path(settings.cache_dir) if settings.directory_url == LETS_ENCRYPT else None
        self.account = self.folder / (f"account-{_plain(account.key_id)}.key" if account else "account.key")

    def certificate(self, host: str) -> Stored | None:
        """A host's certificate, still valid or not; None when there is none, or it cannot be used, which is logged."""
        path = self.folder / f"{host}.pem"
        try:
            if self._has(path):
                return Stored(str(path), _read(path))
            if self._of_gobetween and _is_ours(self._of_gobetween / host):
                return Stored(str(self._of_gobetween / host), _read(self._of_gobetween / host))
        except AcmeError as error:
            log.error("%s; it is not used", error)
        return None

    def account_key(self) -> bytes | None:
        """The account's key in PEM; None when there is no account yet. Raises AcmeError: it is not to be trusted."""
        return self.account.read_bytes() if self._has(self.account) else None

    def prepare(self) -> None:
        """Find out whether it can be written, before something is asked for that is worth keeping. Raises AcmeError."""
        with self._writing(), tempfile.TemporaryFile(dir=self.folder):
            pass

    def keep_certificate(self, host: str, content: bytes) -> Stored:
        """Put a host's key and chain in the place of those before. Raises AcmeError: they stay as they were."""
        path = self.folder / f"{host}.pem"
        return Stored(str(path), self._write(path, content, _read))

    def keep_account_key(self, content: bytes) -> None:
        """Raises AcmeError."""
        self._write(self.account, content, lambda _: None)

    def _has(self, path: Path) -> bool:
        return _is_ours(self.folder) and _is_ours(path)

    def _write(self, path: Path, content: bytes, read: Callable[[Path], Read]) -> Read:
        """The whole file or none of it, also if the machine stops meanwhile; none, too, if it cannot be read."""
        with self._writing():
            handle, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=self.folder)  # 0600
            try:
                with open(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(handle)
                found = read(Path(part))
                os.replace(part, path)
            except BaseException:
                os.unlink(part)
                raise
            folder = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
            return found

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(self.folder):
                raise AcmeError(f"{self.folder}: is not a folder of ours")
            yield
        except AcmeError:
            raise
        except OSError as error:
            raise AcmeError(f"{self.folder}: cannot be written: {error.strerror}") from error


def _read(path: Path) -> Certificate:
    """The certificate in a file with its key. Raises AcmeError: it cannot be used."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, password=lambda: "")
        return read_certificate(str(path))
    except OSError as error:  # ssl.SSLError too
        raise AcmeError(f"{path}: is no certificate with its key") from error


def _is_ours(path: Path) -> bool:
    """Whether it is there. Raises AcmeError: others may have put it there, as in /tmp anybody could."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise AcmeError(f"{path}: cannot be read: {error.strerror}") from error
    if stat.S_ISLNK(found.st_mode) or found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
        raise AcmeError(f"{path}: others can write it: remove it, or make it ours alone (chown, chmod go-w)")
    return True


def _plain(text: str) -> str:
    """As the name of a file."""
    return re.sub(r"[^\w.-]+", "_", text, flags=re.ASCII).strip("_")
