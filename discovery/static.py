"""`static`: the backends stand in the config."""

from typing import Annotated, Literal

from pydantic import AfterValidator

from discovery.contract import Answer, Discovery, Options
from discovery.line import parse_line
from discovery.slices import sliced


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
    options: StaticOptions

    async def fetch(self) -> Answer:
        """The same backends each time."""
        return [parse_line(line) async for line in sliced(self.options.static_list)]
