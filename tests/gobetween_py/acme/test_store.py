"""What lies in cache_dir: for its owner alone, whole, and not believed where others could have put it."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from gobetween_py.acme.errors import AcmeError
from gobetween_py.acme.store import Store
from gobetween_py.config.acme import Acme, ExternalAccount
from tests.gobetween_py.acme.settings import issue
from tests.services.certificates import Authority

HOST = "one.example.test"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "ca").mkdir()
    return Authority(tmp_path / "ca")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "yet"


def test_what_is_kept_is_found_again_and_readable_for_us_alone(authority: Authority, cache: Path) -> None:
    store = Store(Acme(cache_dir=str(cache)))
    assert store.certificate(HOST) is None
    assert store.account_key() is None
    kept = store.keep_certificate(HOST, issue(authority, HOST))
    store.keep_account_key(b"the key")
    assert store.certificate(HOST) == kept
    assert HOST in kept.certificate.names
    assert store.account_key() == b"the key"
    for path in (Path(kept.path), store.account):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700
    assert sorted(os.listdir(store.folder)) == ["account.key", f"{HOST}.pem"]


def test_authorities_and_accounts_have_files_of_their_own(cache: Path) -> None:
    """So that what a staging directory has issued is not served, and an account is not bound to another one."""

    def account(**keys: object) -> Path:
        return Store(Acme(cache_dir=str(cache), **keys)).account  # type: ignore[arg-type]

    bound = ExternalAccount(key_id="../kid 1", hmac_key="c2VjcmV0")  # type: ignore[arg-type]
    accounts = [
        account(),
        account(external_account=bound),
        account(directory_url="https://ca.example.com:14000/dir"),
        account(directory_url="https://ca.example.com:14000/staging/../dir"),
    ]
    assert len(set(accounts)) == len(accounts)
    assert {path.parent.parent for path in accounts} == {cache}


@pytest.mark.parametrize("content", [b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\n"])
def test_rubbish_is_not_used(cache: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(Acme(cache_dir=str(cache)))
    store.prepare()
    path = store.folder / f"{HOST}.pem"
    path.write_bytes(content)
    assert store.certificate(HOST) is None
    assert caplog.messages == [f"{path}: is no certificate with its key; it is not used"]


def test_rubbish_does_not_replace_a_certificate(authority: Authority, cache: Path) -> None:
    """Nor does a certificate without its own key."""
    store, other = Store(Acme(cache_dir=str(cache))), authority.issue("other")
    before = store.keep_certificate(HOST, issue(authority, HOST))
    for content in b"rubbish", other.key.read_bytes() + authority.issue(HOST).certificate.read_bytes():
        with pytest.raises(AcmeError, match="is no certificate with its key"):
            store.keep_certificate(HOST, content)
    assert store.certificate(HOST) == before
    assert os.listdir(store.folder) == [f"{HOST}.pem"]


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_files_that_others_can_write_are_not_believed(authority: Authority, cache: Path, mode: int) -> None:
    store = Store(Acme(cache_dir=str(cache)))
    store.keep_account_key(b"theirs")
    path = Path(store.keep_certificate(HOST, issue(authority, HOST)).path)
    path.chmod(mode)
    store.account.chmod(mode)
    assert store.certificate(HOST) is None
    with pytest.raises(AcmeError, match=r"account.key: others can write it: remove it, or make it ours alone"):
        store.account_key()


def test_links_are_not_followed(authority: Authority, cache: Path, tmp_path: Path) -> None:
    store = Store(Acme(cache_dir=str(cache)))
    store.keep_account_key(b"ours")
    elsewhere = tmp_path / "elsewhere.pem"
    elsewhere.write_bytes(issue(authority, HOST))
    elsewhere.chmod(0o600)
    (store.folder / f"{HOST}.pem").symlink_to(elsewhere)
    assert store.certificate(HOST) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_somebody_else_is_not_believed(authority: Authority, cache: Path) -> None:
    store = Store(Acme(cache_dir=str(cache)))
    path = store.keep_certificate(HOST, issue(authority, HOST)).path
    os.chown(path, 65_534, 65_534)
    assert store.certificate(HOST) is None
    os.chown(path, 0, 0)
    os.chown(store.folder, 65_534, 65_534)
    assert store.certificate(HOST) is None
    with pytest.raises(AcmeError, match="others can write it"):
        store.prepare()


def test_what_gobetween_has_left_is_used_until_there_is_something_of_ours(authority: Authority, cache: Path) -> None:
    """Its cache is the folder itself, and its authority Let's Encrypt."""
    cache.mkdir(parents=True)
    theirs, store = cache / HOST, Store(Acme(cache_dir=str(cache)))
    made = authority.issue(HOST)
    command = ["openssl", "ec", "-in", made.key, "-out", theirs]  # BEGIN EC PRIVATE KEY, as Go writes it
    subprocess.run(command, check=True, capture_output=True)
    with theirs.open("ab") as file:
        file.write(made.certificate.read_bytes())
    theirs.chmod(0o600)
    found = store.certificate(HOST)
    assert found is not None
    assert found.path == str(theirs)
    assert Store(Acme(cache_dir=str(cache), directory_url="https://ca.example.com/dir")).certificate(HOST) is None
    ours = store.keep_certificate(HOST, issue(authority, HOST))
    assert store.certificate(HOST) == ours


def test_a_folder_that_cannot_be_made_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AcmeError, match=r"file/cache/.*: cannot be written: Not a directory"):
        Store(Acme(cache_dir=str(tmp_path / "file" / "cache"))).prepare()


def test_what_cannot_be_written_leaves_what_was_there(authority: Authority, cache: Path) -> None:
    store = Store(Acme(cache_dir=str(cache)))
    before = store.keep_certificate(HOST, issue(authority, HOST))
    (store.folder / "two.example.test.pem").mkdir()  # which no file can replace
    with pytest.raises(AcmeError, match="cannot be written: Is a directory"):
        store.keep_certificate("two.example.test", issue(authority, "two.example.test"))
    assert sorted(os.listdir(store.folder)) == [f"{HOST}.pem", "two.example.test.pem"]
    assert store.certificate(HOST) == before
