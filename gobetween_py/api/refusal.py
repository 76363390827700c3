"""What the API answers when it does not do what it was asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NotRequired

from typing_extensions import TypedDict

from gobetween_py.config import Problem

MOST = 1000
"""Problems that are listed: a body of a megabyte may have 200,000."""


class ProblemBody(TypedDict):
    """One thing that is wrong: where, what, what stood there, what may, and what was perhaps meant."""

    path: str
    reason: str
    value: NotRequired[str]
    allowed: NotRequired[str]
    hint: NotRequired[str]


class RefusalBody(TypedDict):
    """Why a request was refused; problems are given where there may be several."""

    error: str
    problems: NotRequired[list[ProblemBody]]


class Refusal(Exception):  # noqa: N818  # not a defect
    """A request that is not carried out.

    Args:
        status: of HTTP.
        reason: a sentence for whoever asked, without secrets.
        problems: everything that is wrong with the config or body that was sent; the first MOST are told.
        headers: to be sent along.
    """

    def __init__(
        self, status: int, reason: str, problems: Iterable[Problem] = (), headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.problems = tuple(islice(problems, MOST))
        self.headers = dict(headers or {})

    def body(self) -> RefusalBody:
        """As JSON."""
        if not self.problems:
            return {"error": self.reason}
        return {"error": self.reason, "problems": [_body_of(problem) for problem in self.problems]}


def _body_of(problem: Problem) -> ProblemBody:
    body: ProblemBody = {"path": problem.path, "reason": problem.reason}
    if problem.value:
        body["value"] = problem.value
    if problem.allowed:
        body["allowed"] = problem.allowed
    if problem.hint:
        body["hint"] = problem.hint
    return body
