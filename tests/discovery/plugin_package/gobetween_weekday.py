"""`weekday`: some backends from Monday to Friday, others on weekends."""

import datetime
from typing import Literal

from discovery.contract import Answer, Discovery, Options
from discovery.line import parse_line


class WeekdayOptions(Options):
    """Two lists of backend lines."""

    kind: Literal["weekday"] = "weekday"
    weekday_list: tuple[str, ...]
    weekend_list: tuple[str, ...] = ()


class Weekday(Discovery):
    """Picks a list by today's date."""

    Options = WeekdayOptions

    def __init__(self, options: WeekdayOptions) -> None:
        super().__init__(options)
        self._lists = options.weekday_list, options.weekend_list or options.weekday_list

    async def fetch(self) -> Answer:
        weekend = datetime.date.today().isoweekday() > 5
        return [parse_line(line) for line in self._lists[weekend]]
