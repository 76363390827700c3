"""Debian packages for commands that are missing."""

import fcntl
import functools
import os
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
