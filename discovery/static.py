"""`static`: the backends stand in the config."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from discovery.contract import Answer, Discovery, Options
from discovery.line import parse_line


def _checked(line: str) -> str:
    parse_line(line)
    return line


class StaticOptions(Options):
    """Backends as lines; a bad one is an error of the config."""

    kind: Literal["static"] = "static"
    static_list: tuple[Annotated[str, AfterValidator(_checked)], ...]


class Static(Discovery):
    """The list of the config, as it is."""

    Options = StaticOptions

    def __init__(self, options: StaticOptions) -> None:
        super().__init__(options)
        self._specs = [parse_line(line) for line in options.static_list]

    async def fetch(self) -> Answer:
        """The same backends each time."""
        return self._specs
