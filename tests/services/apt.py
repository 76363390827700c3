"""Debian packages for commands that are missing."""

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SEARCHED = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class Unavailable(Exception):  # noqa: N818 - the name says what the tests do about it
    """A server cannot be had on this machine; the message says why."""


def command(name: str, *packages: str) -> str:
    """Path of the command `name`; the packages that bring it are installed first if it is missing.

    Raises:
        Unavailable: it is missing and cannot be installed.
    """
    found = shutil.which(name, path=_SEARCHED)
    if found is None:
        install(*packages)
        found = shutil.which(name, path=_SEARCHED)
    if found is None:
        raise Unavailable(f"{', '.join(packages)} brought no command {name}")
    return found


def install(*packages: str) -> None:
    """Installs Debian packages without asking, without recommended ones.

    Raises:
        Unavailable: no root, no apt, or apt failed (with the end of what it said).
    """
    wanted = ", ".join(packages)
    if shutil.which("apt-get") is None:
        raise Unavailable(f"{wanted} is not installed, and this is no Debian")
    if os.geteuid() != 0:
        raise Unavailable(f"{wanted} is not installed, and installing it needs root")
    with lock():
        _update()
        apt_get("install", "-y", "-qq", "--no-install-recommends", *packages)


@functools.cache
def _update() -> None:
    """Reads the package lists, once in a process."""
    apt_get("update", "-qq")


def apt_get(*arguments: str, cwd: Path | None = None) -> None:
    """Runs apt-get; raises Unavailable with the end of its output when it fails."""
    done = subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Unavailable(f"apt-get {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout[-2000:]}")


@contextmanager
def lock() -> Iterator[None]:
    """Held by one process of the machine at a time, so that test runs side by side do not install at once."""
    with Path(tempfile.gettempdir(), "gobetween-tests-apt.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def extract(package: str, suite: str, sha256: str, path: str) -> Path:
    """A file out of a package of another Debian suite, which is neither installed nor known to the system's apt.

    It is kept in the user's cache folder, so that it is downloaded once on a machine.

    Args:
        package: its name.
        suite: for instance "bullseye"; taken from the mirror that the machine's own apt uses.
        sha256: of the package file, in hex.
        path: of the file inside the package.

    Raises:
        Unavailable: no apt, no such package there, or another digest.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gobetween-tests")
    kept = cache / sha256 / path
    if shutil.which("apt-get") is None:
        raise Unavailable(f"{package} of {suite} is not here, and this is no Debian")
    with lock():
        if not kept.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                file = _download(package, suite, Path(folder))
                if (found := hashlib.sha256(file.read_bytes()).hexdigest()) != sha256:
                    raise Unavailable(f"{file.name} has SHA-256 {found}, not {sha256}")
                subprocess.run(["dpkg", "-x", file, f"{folder}/content"], check=True)
                Path(folder, "content").rename(cache / sha256)
    return kept


def _download(package: str, suite: str, folder: Path) -> Path:
    """The package file, fetched with lists and cache of its own: the system's apt state is untouched."""
    lists, cache, sources = folder / "lists", folder / "cache", folder / "sources.list"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    sources.write_text(f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {_mirror()} {suite} main\n")
    options = {
        "Dir::Etc::sourcelist": sources,
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": lists,
        "Dir::Cache": cache,
        "APT::Sandbox::User": "root",
    }
    flags = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    apt_get(*flags, "update", "-qq")
    apt_get(*flags, "download", "-qq", f"{package}/{suite}", cwd=folder)
    return next(folder.glob(f"{package}_*.deb"))


def _mirror() -> str:
    """The archive that the machine's own apt sources name first."""
    etc = Path("/etc/apt")
    patterns = {
        r"^URIs:\s*(\S+)": sorted(etc.glob("sources.list.d/*.sources")),
        r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)": [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))],
    }
    for pattern, files in patterns.items():
        for file in files:
            if file.exists() and (match := re.search(pattern, file.read_text(), re.MULTILINE)):
                return match[1]
    raise Unavailable("the machine's apt sources name no archive")
