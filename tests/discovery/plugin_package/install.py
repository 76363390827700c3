"""Installs this package as a user would, with pip, but into a folder of the test's."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def install(target: Path) -> Path:
    """Builds the package from a copy of its source, without the network; returns the folder, ready for sys.path."""
    with tempfile.TemporaryDirectory() as copy:
        source = Path(shutil.copytree(Path(__file__).parent, Path(copy) / "source"))
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        subprocess.run([*pip, "--target", target, source], check=True)
    return target
