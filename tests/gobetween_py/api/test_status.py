"""What the API tells of discovery and of health checks."""

from datetime import datetime

from tests.gobetween_py.running import API, Echo, Running, server


async def test_discovery_tells_of_its_last_fetch() -> None:
    async with Running(API + server("web", "127.0.0.1:1", "127.0.0.1:2")) as running:
        [told] = (await running.get("/discovery"))["discovery"]
        assert datetime.fromisoformat(told.pop("last_success"))
        assert 0 < told.pop("last_duration") < 5
        assert told == {
            "server": "web",
            "kind": "static",
            "failing": False,
            "backends": 2,
            "skipped": 0,
            "fetches": 1,
            "failures": 0,
            "pushes": 0,
            "last_error": "",
        }


async def test_discovery_tells_why_it_fails() -> None:
    config = API + (
        '[servers.web]\nbind = "127.0.0.1:0"\n[servers.web.discovery]\nkind = "exec"\nexec_command = ["false"]\n'
    )
    async with Running(config) as running:
        [told] = (await running.get("/discovery?server=web"))["discovery"]
        assert (told["failing"], told["last_success"], told["failures"] > 0) == (True, None, True)
        assert "false" in told["last_error"]


async def test_health_checks_tell_what_they_saw() -> None:
    check = '[servers.web.healthcheck]\nkind = "ping"\ninterval = "50ms"\ntimeout = "1s"\n'
    async with Echo() as alive, Running(API + server("web", alive.line, "127.0.0.1:1") + check) as running:

        def all_were_checked() -> bool:
            conditions = running.web.supply.health.conditions
            return len(conditions) == 2 and all(condition.runs for condition in conditions.values())

        await running.until(all_were_checked)
        told = {one["address"]: one for one in (await running.get("/healthchecks"))["healthchecks"]}
        assert {address: (one["state"], one["last"]["passed"]) for address, one in told.items()} == {
            alive.line: ("healthy", True),
            "127.0.0.1:1": ("unhealthy", False),
        }
        dead = told["127.0.0.1:1"]
        assert "refused" in dead["last_error"].lower()
        assert (dead["server"], dead["kind"], dead["failures"] > 0, dead["ejections"]) == ("web", "ping", True, 0)
        assert datetime.fromisoformat(dead["since"])


async def test_a_server_that_is_not_there_is_404() -> None:
    async with Running(API + server("web")) as running:
        for path in ("/discovery", "/healthchecks"):
            assert (await running.call("GET", f"{path}?server=none")).status == 404
            assert (await running.call("GET", f"{path}?server=web")).status == 200
