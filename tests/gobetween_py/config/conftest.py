import os
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534


@pytest.fixture
def unprivileged(tmp_path: Path) -> Iterator[None]:
    """The test runs without root's right to read everything; tmp_path is the test's own."""
    mine = os.geteuid()
    if mine != 0:
        yield
        return
    for folder in (tmp_path, *tmp_path.parents[:2]):  # pytest's own folders let nobody in but root
        os.chmod(folder, 0o711)
    os.chown(tmp_path, NOBODY, NOBODY)
    for file in tmp_path.iterdir():
        os.chown(file, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    yield
    os.seteuid(mine)
