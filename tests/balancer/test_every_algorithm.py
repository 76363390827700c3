"""What holds for every algorithm, whatever happens to the pool: hypothesis makes up the story."""

import socket
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from balancer import ACTIVE, RX, TX, Backend, BackendSpec, Counters, Pool, load, names

HOSTS = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.10", "2001:db8::1", "unix:/run/a"]
host = st.sampled_from(HOSTS)
client = st.one_of(st.just(""), st.ip_addresses().map(str))
spec = st.builds(
    BackendSpec,
    host=host,
    port=st.just(80),
    weight=st.integers(-1, 3),
    priority=st.integers(-1, 2),
    max_connections=st.integers(0, 2),
)
answer = st.lists(spec, max_size=len(HOSTS), unique_by=lambda spec: spec.host)


class Story(RuleBasedStateMachine):
    """A pool, and beside it the plainest account of what it must know: what it was told, and the open connections."""

    algorithm = ""
    priority_tiers = False

    def __init__(self) -> None:
        super().__init__()
        kind = load(self.algorithm)
        self.tiered, self.weighted = self.priority_tiers or kind.tiered, kind.weighted
        self.counters = Counters()
        self.pool = Pool(self.algorithm, self.counters, priority_tiers=self.priority_tiers)
        self.told: dict[str, BackendSpec] = {}
        self.dead: set[Backend] = set()
        self.resolved: set[Backend] = set()
        self.open: list[Backend] = []

    @rule(specs=answer)
    def update(self, specs: Sequence[BackendSpec]) -> None:
        self.told = {spec.host: spec for spec in specs}
        change = self.pool.update(specs)
        assert all(backend.spec == self.told[backend.host] for backend in (*change.added, *change.updated))
        for backend in change.added:
            self.resolve(backend.host, True)

    @rule(specs=answer, before=answer, steps=st.integers(0, 6), data=st.data())
    def update_while_in_use(
        self, specs: Sequence[BackendSpec], before: Sequence[BackendSpec], steps: int, data: st.DataObject
    ) -> None:
        """Another update is abandoned; then connections open and end between the steps of this one."""
        for _ in islice(self.pool.updating(before), steps):
            pass
        work = self.pool.updating(specs)
        while True:
            try:
                next(work)
            except StopIteration as end:
                change = end.value
                break
            for _ in range(data.draw(st.integers(0, 3))):
                backend = self.pool.acquire("192.0.2.1")
                if backend is not None:
                    self.open.append(backend)
                self.counters_add_up()
            self.release(data.draw(st.integers(0, 9)), data.draw(st.integers(0, 3)))
        self.told = {spec.host: spec for spec in specs}
        assert {backend.host: backend.spec for backend in self.pool.backends if backend.discovered} == self.told
        for backend in change.added:
            self.resolve(backend.host, True)

    @rule(host=host, live=st.booleans())
    def set_live(self, host: str, live: bool) -> None:
        for backend in self.pool.backends:
            if backend.host == host:
                self.pool.set_live(backend, live)
                (self.dead.discard if live else self.dead.add)(backend)

    @rule(host=host, known=st.booleans())
    def resolve(self, host: str, known: bool) -> None:
        for backend in self.pool.backends:
            if backend.host == host:
                self.pool.set_resolved(backend, socket.AF_INET, (host, 80) if known else None)
                (self.resolved.add if known else self.resolved.discard)(backend)

    @rule(client=client, tried=st.sets(host), times=st.integers(1, 4))
    def acquire(self, client: str, tried: set[str], times: int) -> None:
        for _ in range(times):
            failed = tuple(backend for backend in self.pool.backends if backend.host in tried)
            expected = self.available(failed)
            picked = self.pool.acquire(client, failed)
            if expected:
                assert picked in expected
                self.open.append(picked)
            else:
                assert picked is None

    @rule(number=st.integers(0), times=st.integers(1, 4))
    def release(self, number: int, times: int) -> None:
        for _ in range(min(times, len(self.open))):
            self.pool.release(self.open.pop(number % len(self.open)))

    @rule(count=st.integers(1, 1000), seconds=st.sampled_from([0.5, 1.0, 3.0]))
    def traffic(self, count: int, seconds: float) -> None:
        for backend in self.open:
            self.counters.values[backend.row + RX] += count
            self.counters.values[backend.row + TX] += 1
        self.pool.tick(seconds)

    @rule(steps=st.integers(1, 400))
    def work(self, steps: int) -> None:
        for _ in islice(self.pool.pending, steps):
            pass

    @invariant()
    def counters_add_up(self) -> None:
        counts = Counter(self.open)
        for backend in self.pool.backends:
            assert self.counters.values[backend.row + ACTIVE] == counts[backend] >= 0
        assert len({backend.row for backend in self.pool.backends}) == len(self.pool.backends)

    @invariant()
    def listed_are_the_discovered_and_those_with_connections(self) -> None:
        listed = {backend.host for backend in self.pool.backends}
        assert listed == self.told.keys() | {backend.host for backend in self.open}
        addresses = [backend.address for backend in self.pool.backends]
        assert addresses == sorted(addresses)

    def available(self, tried: Sequence[Backend]) -> set[Backend]:
        """The backends that one of must be picked from, out of the model alone."""
        counts = Counter(self.open)
        found = set()
        for backend in self.pool.backends:
            told = self.told.get(backend.host)
            if told is None or backend in self.dead or backend not in self.resolved or backend in tried:
                continue
            if told.max_connections and counts[backend] >= told.max_connections:
                continue
            if (self.weighted and told.weight < 0) or (self.tiered and told.priority < 0):
                continue
            found.add(backend)
        if self.tiered:
            lowest = min((self.told[backend.host].priority for backend in found), default=0)
            found = {backend for backend in found if self.told[backend.host].priority == lowest}
        if self.weighted:
            return {backend for backend in found if self.told[backend.host].weight} or found
        return found


@pytest.mark.parametrize("priority_tiers", [False, True], ids=["one tier", "priority tiers"])
@pytest.mark.parametrize("algorithm", names())
def test_only_who_may_be_picked_is_picked(algorithm: str, priority_tiers: bool) -> None:
    """And somebody is, whenever there is one: live, discovered, resolved, not full or tried, of the first tier."""
    story = type(f"Story_{algorithm}", (Story,), {"algorithm": algorithm, "priority_tiers": priority_tiers})
    run_state_machine_as_test(story, settings=settings(max_examples=40, stateful_step_count=40, deadline=None))
