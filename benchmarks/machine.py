"""What a figure depends on: the machine, and the versions of everything that took part."""

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

TOOLS: dict[str, Sequence[str]] = {
    "ab": ["ab", "-V"],
    "redis-benchmark": ["redis-benchmark", "--version"],
    "redis-server": ["redis-server", "--version"],
}


def describe(peers: dict[str, str]) -> dict[str, str]:
    """Names and values in words; `peers` has the versions of the peers by name."""
    described = {
        "date": time.strftime("%Y-%m-%d"),
        "CPU": f"{_cpu_model()}, {os.cpu_count()} cores",
        "load before": f"{os.getloadavg()[0]:.2f}",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "uvloop": _distribution("uvloop"),
    }
    described.update({name: version for name, version in peers.items() if version})
    described.update({name: _version(command) for name, command in TOOLS.items()})
    return described


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found.group(1) if found else platform.processor() or "unknown"


def _distribution(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _version(command: Sequence[str]) -> str:
    try:
        printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return "not installed"
    return version_in(printed)


def version_in(printed: str) -> str:
    """The first thing in the text that looks like a version, or its first line."""
    found = re.search(r"\d+\.\d[\w.+-]*", printed)
    return found.group() if found else printed.strip().partition("\n")[0]
