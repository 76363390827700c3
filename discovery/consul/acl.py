"""Whether an empty answer is true.

To a client whose token may not see the instances Consul answers 200 with an empty list, not 403. Since 1.11 a header
says that something was left out, but not to a client without a token. So the question is asked, which Consul answers
since 1.8: may this token read the service, and its nodes?
"""

import json
from functools import partial
from typing import Any

from discovery.consul.client import Consul, RefusedError, Reply
from discovery.contract import DiscoveryError


async def confirm_empty(client: Consul, service: str, reply: Reply) -> None:
    """Returns when there are no instances; raises DiscoveryError when the token may not see them.

    Args:
        reply: whose list is empty. Whether tag and checks left instances out is found here.
    """
    if reply.filtered:
        raise DiscoveryError(_message(client, service, reply, "service:read or node:read"))
    rights = await _rights(client, service)
    if not rights.get("service", True):
        raise DiscoveryError(_message(client, service, reply, "service:read"))
    if rights.get("node", True) or not await _is_registered(client, service):
        return
    # The token may read some nodes by their names. It sees the service: does it see any instance, whatever its state?
    if _is_empty(await client.health.service(service)):
        raise DiscoveryError(_message(client, service, reply, "node:read"))


async def _rights(client: Consul, service: str) -> dict[str, bool]:
    """Of "service" and of "node" (nodes of any name); empty where there are no ACLs, or none that can be asked for."""
    questions = [
        {"Resource": "service", "Access": "read", "Segment": service},
        {"Resource": "node", "Access": "read", "Segment": ""},
    ]
    datacenter = [("dc", client.dc)] if client.dc else []
    ask = partial(client.http.post, None, "/v1/internal/acl/authorize", datacenter)
    try:
        reply = await ask(data=json.dumps(questions))
    except RefusedError:  # 401: ACLs are not enabled
        return {}
    try:
        answers: list[dict[str, Any]] = json.loads(reply.text)
        return {str(answer["Resource"]): bool(answer["Allow"]) for answer in answers}
    except (ValueError, TypeError, KeyError, RecursionError):  # 404: before 1.8
        return {}


async def _is_registered(client: Consul, service: str) -> bool:
    """Whether the catalogue names the service. For that the token needs no right on nodes."""
    reply: Reply = await client.catalog.services()
    return f"{json.dumps(service)}:" in reply.text  # not decoded: it may be megabytes


def _is_empty(reply: Reply) -> bool:
    return reply.text.strip() == "[]"


def _message(client: Consul, service: str, reply: Reply, right: str) -> str:
    fault = "the ACL token lacks" if client.access.current_token() else "no ACL token is given, which leaves no"
    return f"{reply.host}: the list of {service!r} is empty because {fault} {right}"
