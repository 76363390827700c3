"""nginx, answering every request with two bytes and closing: as little work beside the connection as can be."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from benchmarks.net import Address

TEMPLATE = Path(__file__).with_name("http.conf")


def command(
    listening: Sequence[Address], directory: Path, *, name: str = "http", listen: str = "", more: str = ""
) -> list[str]:
    """The command.

    Args:
        name: of its files.
        listen: option of each address that it listens on.
        more: directives of the server.
    """
    lines = [f"        listen {address} backlog=4096 {listen};" for address in listening]
    listens = "\n".join([*lines, f"        {more}"])
    config = directory / f"{name}.conf"
    config.write_text(Template(TEMPLATE.read_text()).substitute(directory=directory, name=name, listens=listens))
    return ["nginx", "-e", str(directory / f"{name}.log"), "-c", str(config)]
