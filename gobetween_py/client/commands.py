"""What each command asks of the API, and how the answer is shown."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gobetween_py.client import tables
from gobetween_py.client.api import Access, Api, ApiError, authorization, secret
from gobetween_py.client.command_line import PASSWORD, TOKEN

POLL = 0.5
"""Seconds between two looks while waiting."""


@dataclass(frozen=True, slots=True)
class Command:
    """How a command is carried out.

    Args:
        ask: gets the answer, as data that JSON can hold.
        show: the answer for a terminal.
        good: whether an answer is a success.
    """

    ask: Callable[[Api, argparse.Namespace], Awaitable[Any]]
    show: Callable[[Any], Any]
    good: Callable[[Any], bool] = lambda answer: True


async def status(api: Api, _chosen: argparse.Namespace) -> Any:
    """About the process, whether it is ready, and what stands in no config."""
    about, ready = await api.ask("GET", ""), await api.ask("GET", "ready", also=503)
    return {**about, **ready, "unsaved": (await api.ask("GET", "reload"))["unsaved"]}


async def servers(api: Api, _chosen: argparse.Namespace) -> Any:
    """All servers with their totals."""
    return [await _server(api, name, config) for name, config in (await api.ask("GET", "servers")).items()]


async def backends(api: Api, chosen: argparse.Namespace) -> Any:
    """Backends by server."""
    names = [chosen.server] if chosen.server else list(await api.ask("GET", "servers"))
    return {name: (await api.ask("GET", "servers", name, "backends"))["backends"] for name in names}


async def connections(api: Api, chosen: argparse.Namespace) -> Any:
    """A page of open connections."""
    return await api.ask(
        "GET",
        "servers",
        chosen.server,
        "connections",
        backend=chosen.backend,
        client=chosen.client,
        limit=str(chosen.limit),
        after=chosen.after,
    )


async def healthchecks(api: Api, chosen: argparse.Namespace) -> Any:
    """What the health checks say."""
    return await api.ask("GET", "healthchecks", server=chosen.server)


async def discovery(api: Api, chosen: argparse.Namespace) -> Any:
    """How discovery goes."""
    return await api.ask("GET", "discovery", server=chosen.server)


async def reload(api: Api, chosen: argparse.Namespace) -> Any:
    """Reload the config."""
    return await api.ask("POST", "reload", discard="true" if chosen.discard else None)


async def set_state(api: Api, chosen: argparse.Namespace) -> Any:
    """Give backends the state that the command is called by."""
    change: dict[str, str] = {"state": chosen.command}
    if getattr(chosen, "deadline", None):
        change["deadline"] = chosen.deadline
    answers = [
        await api.ask("PATCH", "servers", chosen.server, "backends", address, body=change) for address in chosen.backend
    ]
    if getattr(chosen, "wait", False):
        return [await _emptied(api, chosen.server, answer) for answer in answers]
    return answers


async def _emptied(api: Api, server: str, backend: Any) -> Any:
    """The backend once it has no open connections; as it was last, if it is gone."""
    while backend["stats"]["active_connections"]:
        await asyncio.sleep(POLL)
        try:
            backend = await api.ask("GET", "servers", server, "backends", backend["address"])
        except ApiError as error:
            if error.status != 404:
                raise
            backend["stats"]["active_connections"] = 0
    return backend


async def _server(api: Api, name: str, config: Mapping[str, Any]) -> Any:
    """A server's totals; zeros for one that has not started yet."""
    found = {key: config[key] for key in ("bind", "protocol", "balance")}
    found |= {"server": name, "discovery": config["discovery"]["kind"], "backends": 0, "live": 0}
    try:
        stats = await api.ask("GET", "servers", name, "stats")
    except ApiError as error:
        if error.status not in (404, 503):
            raise
        totals = ("active_connections", "rx_total", "tx_total", "rx_second", "tx_second")
        return found | dict.fromkeys(totals, 0)
    listed = stats.pop("backends")
    live = sum(each["stats"]["live"] and each["stats"]["discovered"] for each in listed)
    return {**found, "backends": len(listed), "live": live, **stats}


COMMANDS: dict[str, Command] = {
    "status": Command(status, tables.status, good=lambda answer: bool(answer["ready"])),
    "servers": Command(servers, tables.servers),
    "backends": Command(backends, tables.backends),
    "connections": Command(connections, tables.connections),
    "healthchecks": Command(healthchecks, tables.healthchecks),
    "discovery": Command(discovery, tables.discovery),
    "drain": Command(set_state, tables.backend),
    "maint": Command(set_state, tables.backend),
    "ready": Command(set_state, tables.backend),
    "reload": Command(reload, tables.reloaded),
}
"""Those of `command_line`."""


def run(chosen: argparse.Namespace) -> int:
    """Run the chosen command; 0, or 1 when the API refuses, cannot be asked, or has no good news."""
    command = COMMANDS[chosen.command]
    try:
        token = secret(chosen.token_file, TOKEN)
        password = secret(chosen.password_file, PASSWORD)
        access = Access(chosen.api, authorization(chosen.login, password, token), chosen.ca, chosen.cert, chosen.key)
        answer = asyncio.run(_ask(command, access, chosen))
    except ApiError as error:
        told = "\n".join(map(tables.printable, str(error).split("\n")))
        print(f"pygobetween: {told}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        tables.console().print(command.show(answer))
    return 0 if command.good(answer) else 1


async def _ask(command: Command, access: Access, chosen: argparse.Namespace) -> Any:
    async with Api(access) as api:
        return await command.ask(api, chosen)
