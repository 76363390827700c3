import os
from pathlib import Path
from typing import Annotated

import pytest

from discovery.contract import Options
from discovery.fields import Array, FileName, Refers, Text
from gobetween_py.config.acme import Acme
from gobetween_py.config.errors import ConfigErrors
from gobetween_py.config.models import Api, ApiTls, Config, Logging
from gobetween_py.config.references import missing_files
from gobetween_py.config.server import Server
from gobetween_py.config.tls import BackendsTls, Tls


class ReferringOptions(Options):
    kind: str = "referring"
    referring_ca_path: FileName = ""
    referring_tls_enabled: bool = False
    referring_tls_cert_path: FileName = ""
    referring_command: Annotated[Array[Text], Refers.PROGRAM] = ()


def told(config: Config) -> list[str]:
    try:
        missing_files(config)
    except ConfigErrors as errors:
        return [str(problem) for problem in errors.problems]
    return []


def server(**keys: object) -> Config:
    basis = {"bind": ":0", "discovery": ReferringOptions()}
    return Config(servers={"a": Server(**(basis | keys))})  # type: ignore[arg-type]


@pytest.fixture
def here(tmp_path: Path) -> str:
    file = tmp_path / "here.pem"
    file.touch()
    return str(file)


def test_every_file_that_is_not_there_is_named(here: str, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone.pem")
    config = server(
        protocol="tls",
        tls=Tls(cert_path=gone, key_path=here),
        backends_tls=BackendsTls(root_ca_cert_path=gone),
        discovery=ReferringOptions(referring_ca_path=str(tmp_path)),
    )
    assert told(config) == [
        f"servers.a.tls.cert_path: '{gone}' is not there",
        f"servers.a.backends_tls.root_ca_cert_path: '{gone}' is not there",
        f"servers.a.discovery.referring_ca_path: '{tmp_path}' is not a file",
    ]


def test_files_of_other_sections_are_looked_at_too(here: str) -> None:
    assert told(Config(api=Api(enabled=True, tls=ApiTls(cert_path="/no/cert", key_path=here)))) == [
        "api.tls.cert_path: '/no/cert' is not there"
    ]


def test_a_file_that_may_not_be_read(here: str, unprivileged: None) -> None:
    Path(here).chmod(0)
    assert told(server(protocol="tls", tls=Tls(cert_path=here, key_path=here))) == [
        f"servers.a.tls.{key}: '{here}' cannot be read: permission denied" for key in ("cert_path", "key_path")
    ]


@pytest.mark.parametrize(
    "config",
    [
        Config(api=Api(tls=ApiTls(cert_path="/no/cert", key_path="/no/key"))),
        server(tls=Tls(cert_path="/no/cert", key_path="/no/key")),
        server(discovery=ReferringOptions(referring_tls_cert_path="/no/cert")),
    ],
)
def test_what_is_switched_off_may_name_files_that_are_not_there(config: Config) -> None:
    assert told(config) == []


def test_programs_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch(mode=0o644)
    for command, count in (("sh", 0), ("/bin/sh", 0), ("no-such-program", 1), (str(plain), 1), (str(tmp_path), 1)):
        options = ReferringOptions(referring_command=(command, "--argument"))
        assert len(told(server(discovery=options))) == count


def test_the_log_needs_a_directory_that_is_there(tmp_path: Path) -> None:
    assert told(Config(logging=Logging(output=str(tmp_path / "lb.log")))) == []
    assert told(Config(logging=Logging(output=str(tmp_path)))) == [
        f"logging.output: '{tmp_path}' is a directory, not a file"
    ]
    assert told(Config(logging=Logging(output=str(tmp_path / "gone" / "lb.log")))) == [
        f"logging.output: '{tmp_path}/gone/lb.log' cannot be written: there is no directory '{tmp_path}/gone'"
    ]


def acme(cache: Path, *hosts: str) -> Config:
    servers = server(protocol="tls", tls=Tls(acme_hosts=hosts)).servers if hosts else {}
    return Config(acme=Acme(cache_dir=str(cache)), servers=servers)


def test_the_cache_of_certificates_is_a_folder_or_can_become_one(tmp_path: Path, here: str) -> None:
    assert told(acme(tmp_path, "a.test")) == []
    assert told(acme(tmp_path / "not" / "there", "a.test")) == []
    assert told(acme(Path(here), "a.test")) == ["acme.cache_dir: is not a directory"]
    assert told(acme(Path(here, "below", "it"), "a.test")) == [f"acme.cache_dir: is below {here!r}, a file"]
    assert told(acme(Path(here))) == []  # nobody needs it


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_cache_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert told(acme(tmp_path / "cache", "a.test")) == [
        f"acme.cache_dir: cannot be written: permission denied in {str(tmp_path)!r}: {str(tmp_path / 'cache')!r}"
    ]
