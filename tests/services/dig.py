"""dig, a DNS client."""

import subprocess

from tests.services import apt
from tests.services.process import LOOPBACK


def dig(port: int, name: str, kind: str = "A", *flags: str, host: str = LOOPBACK) -> list[str]:
    """The data of the records in the answer section, in the order of the answer; asks up to three times, 2 s each.

    Args:
        flags: of dig's own, for instance "+bufsize=4096".

    Raises:
        ConnectionError: no answer.
    """
    where = [f"@{host}", "-p", str(port)]
    command = [apt.command("dig", "bind9-dnsutils"), *where, "+short", "+time=2", "+tries=3", *flags, name, kind]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise ConnectionError(f"dig {name} {kind}: {done.stdout}{done.stderr}")
    return [line for line in done.stdout.splitlines() if not line.startswith(";;")]  # what it says of tries in vain
