"""A root file system for containers: a static busybox whose httpd serves /www on port 80."""

import io
import stat
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

from tests.services import apt

SERVE = "hostname > /www/name; exec httpd -f -p 80 -h /www"
"""Shell command that serves; `/name` answers the container's host name and a newline."""

_FOLDERS = "bin", "dev", "etc", "proc", "root", "run", "sbin", "sys", "tmp", "usr", "var", "www"


def root_tar(prefix: str = "", scripts: Mapping[str, str] | None = None) -> bytes:
    """A tar archive of the root file system.

    Args:
        prefix: folder of the archive that holds it, for instance "rootfs/".
        scripts: further executable files, by their path without a leading slash.
    """
    binary = Path(apt.command("busybox", "busybox-static"))
    links = subprocess.run([binary, "--list"], capture_output=True, text=True, check=True).stdout.split()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder in _FOLDERS:
            add_file(tar, f"{prefix}{folder}", None)
        add_file(tar, f"{prefix}bin/busybox", binary.read_bytes())
        for link in links:
            if link != "busybox":
                entry = tarfile.TarInfo(f"{prefix}bin/{link}")
                entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(entry)
        for path, script in (scripts or {}).items():
            add_file(tar, prefix + path, script.encode())
    return buffer.getvalue()


def add_file(tar: tarfile.TarFile, path: str, content: bytes | None) -> None:
    """Adds an executable file, or a folder where `content` is None."""
    entry = tarfile.TarInfo(path)
    entry.mode = stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
    if content is None:
        entry.type = tarfile.DIRTYPE
        tar.addfile(entry)
    else:
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
