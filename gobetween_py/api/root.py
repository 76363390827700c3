"""About the process as a whole: what runs, whether it is ready, its config, reloading it."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Literal

from aiohttp import web
from typing_extensions import TypedDict

from discovery.duration import format_duration
from gobetween_py import __version__
from gobetween_py.api import reply
from gobetween_py.api.refusal import Refusal
from gobetween_py.api.reply import when
from gobetween_py.api.route import Call, Query
from gobetween_py.config.dump import plain
from gobetween_py.config.toml_text import toml_lines
from gobetween_py.reload import Difference, Outcome
from gobetween_py.server import Server


class About(TypedDict):
    """The process. `configuration` says where the config came from."""

    pid: int
    time: str
    startTime: str
    uptime: str
    version: str
    configuration: dict[str, str]


class Readiness(TypedDict):
    """Whether all servers can serve, and why not, by server."""

    ready: bool
    servers: dict[str, str]


class Changes(TypedDict):
    """How a config differs: names of servers, of the changed ones with the keys that differ, and of other sections."""

    added: list[str]
    changed: dict[str, list[str]]
    removed: list[str]
    sections: list[str]


class ByHand(TypedDict):
    """What a reload did with changes made by hand: names of servers where some stayed, and where some were dropped."""

    kept: list[str]
    dropped: list[str]


class ReloadBody(TypedDict):
    """One attempt to reload the config. Errors = nothing was changed."""

    cause: str
    time: str
    errors: list[str]
    changes: Changes
    by_hand: ByHand


class Reloads(TypedDict):
    """How reloading went; the latest attempts, the last one last. Unsaved: changes by hand that the config has not."""

    succeeded: int
    failed: int
    unsaved: Changes
    latest: list[ReloadBody]


class ReloadQuery(Query):
    """What becomes of changes made by hand."""

    discard: bool = False
    """Whether they are dropped; else they stay where the config says the same as before."""


class DumpQuery(Query):
    """How the config is written."""

    format: Literal["toml", "json"] = "toml"


async def about(call: Call) -> web.StreamResponse:
    """Process id, version, uptime."""
    started = call.app.started
    body: About = {
        "pid": os.getpid(),
        "time": when(time.time()),
        "startTime": when(started),
        "uptime": format_duration(round(time.time() - started, 3)),
        "version": __version__,
        "configuration": call.app.configuration,
    }
    return reply.small(body)


async def ping(call: Call) -> web.StreamResponse:
    """Answers OK."""
    return web.Response(text="OK")


async def ready(call: Call) -> web.StreamResponse:
    """Whether every server listens and has a live backend. Without credentials it is not told which has not."""
    reasons = {name: reason for name, server in call.app.servers.items() if (reason := _not_ready(server))}
    body: Readiness = {"ready": not reasons, "servers": reasons if call.known else {}}
    return reply.small(body, status=503 if reasons else 200)


async def dump(call: Call) -> web.StreamResponse:
    """The running config, with *** for secrets."""
    table = await asyncio.to_thread(plain, call.app.config)  # of 2,000 servers it takes 50 ms
    if call.query.format == "json":
        return await reply.whole(call.request, table)
    return await reply.text(call.request, toml_lines(table), "text/plain; charset=utf-8")


async def reload(call: Call) -> web.StreamResponse:
    """Read the config again and apply what differs. What is wrong with it is told, and then nothing is changed."""
    outcome = await call.app.reload("API", discard=call.query.discard)
    if outcome.problems:
        raise Refusal(422, "nothing was changed", outcome.problems)
    return reply.small(_outcome(outcome))


async def reloads(call: Call) -> web.StreamResponse:
    """How reloading the config went so far."""
    status = call.app.reloads
    body: Reloads = {
        "succeeded": status.succeeded,
        "failed": status.failed,
        "unsaved": _changes(call.app.unsaved),
        "latest": [_outcome(outcome) for outcome in status.outcomes],
    }
    return reply.small(body)


def _outcome(outcome: Outcome) -> ReloadBody:
    return {
        "cause": outcome.cause,
        "time": when(outcome.at),
        "errors": [str(problem) for problem in outcome.problems],
        "changes": _changes(outcome.difference),
        "by_hand": {"kept": [*outcome.kept], "dropped": [*outcome.dropped]},
    }


def _changes(what: Difference) -> Changes:
    return {
        "added": [*what.added],
        "changed": {name: [*keys] for name, keys in what.changed.items()},
        "removed": [*what.removed],
        "sections": [*what.sections],
    }


def _not_ready(server: Server) -> str:
    if server.listener is None:
        return "does not accept yet"
    usable = (b.live and b.discovered and not b.held and b.sockaddr is not None for b in server.pool.backends)
    return "" if any(usable) else "has no live backend"
