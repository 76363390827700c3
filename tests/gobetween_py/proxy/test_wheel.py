import asyncio

from gobetween_py.proxy.wheel import TICK, Wheel


class Sitter:
    def __init__(self) -> None:
        self.expired: list[int] = []

    def expire(self, now: int) -> None:
        self.expired.append(now)


async def test_durations_round_up_and_zero_is_no_limit():
    assert Wheel.ticks(0) == 0
    assert Wheel.ticks(0.001) == 2
    assert Wheel.ticks(10 * TICK) == 11


async def test_a_slot_expires_at_its_tick_and_once():
    wheel = Wheel(asyncio.get_running_loop())
    early, late, gone = Sitter(), Sitter(), Sitter()
    wheel.add(late, 3)
    wheel.add(early, 1)
    wheel.add(gone, 2).discard(gone)
    await asyncio.sleep(5 * TICK)
    wheel.close()
    assert (early.expired, late.expired, gone.expired) == ([1], [3], [])


async def test_a_late_timer_catches_up():
    """Ticks count real time, whatever held the loop up."""
    loop = asyncio.get_running_loop()
    wheel = Wheel(loop)
    sitters = [Sitter() for _ in range(3)]
    for tick, sitter in enumerate(sitters, 1):
        wheel.add(sitter, tick)
    wheel._start -= 10 * TICK  # as if the loop had been busy for ten ticks
    await asyncio.sleep(1.5 * TICK)
    wheel.close()
    assert [s.expired for s in sitters] == [[1], [2], [3]]
    assert wheel.now >= 10
