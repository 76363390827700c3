"""Blocking client libraries, in threads that nobody waits for."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from discovery.contract import DiscoveryError

Result = TypeVar("Result")


class Blocking:
    """Calls blocking functions for one discovery, one at a time, each in a daemon thread.

    A call that gets cancelled (the fetch's timeout) leaves its thread behind: Python cannot stop it. Until it ends by
    itself, further calls fail at once instead of piling up threads; and it does not hold up the end of the process,
    as a thread of asyncio.to_thread would.
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    async def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """The function's result, or what it raised.

        Raises:
            DiscoveryError: the call before, cancelled, has not ended yet.
        """
        if self._thread is not None and self._thread.is_alive():
            raise DiscoveryError("the call before is still hanging")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()

        def settle(result: Result | None, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)  # type: ignore[arg-type]  # None where the function returned None
            elif isinstance(error, StopIteration):  # which no future can carry
                future.set_exception(RuntimeError("StopIteration"))
            else:
                future.set_exception(error)

        def run() -> None:
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:
                return  # the event loop was closed meanwhile

        self._thread = threading.Thread(target=run, name=f"blocking {function.__name__}", daemon=True)
        self._thread.start()
        try:
            return await future
        finally:
            if future.done() and not future.cancelled():
                self._thread.join()  # it has nothing left to do, and the next call must not find it alive
