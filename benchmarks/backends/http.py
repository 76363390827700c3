"""nginx, answering every request with two bytes and closing: as little work beside the connection as can be."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from benchmarks.net import Address

TEMPLATE = Path(__file__).with_name("http.conf")


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    listens = "\n".join(f"        listen {address} backlog=4096;" for address in listening)
    config = directory / "http.conf"
    config.write_text(Template(TEMPLATE.read_text()).substitute(directory=directory, listens=listens))
    return ["nginx", "-e", str(directory / "http.log"), "-c", str(config)]
