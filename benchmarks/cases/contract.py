"""What a case is: a load on a proxy, and the figures it gives."""

from abc import ABC, abstractmethod
from typing import Literal

from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

PlacementKind = Literal["shared", "split", "free"]


class Case(ABC):
    """One kind of load.

    Attributes:
        name: as in --cases.
        title: one line that says what is done.
        kinds: the kinds of backends it needs fronts for.
        metrics: what each measurement yields.
        placement: which processes share a CPU (see cpu.placement).
        urgent: kinds of backends that get real-time priority, so that their own waiting for the CPU is not measured.
        fresh: whether every measurement wants a proxy process that has just started.
    """

    name: str
    title: str
    kinds: tuple[str, ...]
    metrics: tuple[Metric, ...]
    placement: PlacementKind = "shared"
    urgent: tuple[str, ...] = ()
    fresh = False

    def prepare(self, peer: str, proxy: Proxy) -> None:
        """Warms the proxy up, and finds out how much load fills the time of a measurement."""
        return

    @abstractmethod
    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        """Loads the proxy for about `seconds`. Figures of the proxy process are left out where there is none."""


def cpu_per_unit(proxy: Proxy, used: float, units: float, scale: float) -> dict[str, float]:
    """{"cpu": CPU per unit}, or nothing where there is no proxy process."""
    return {"cpu": used * scale / units} if proxy.pid else {}
