"""Many waits at once, in threads that keep no process from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Found = TypeVar("Found")


class Crew:
    """Does things in threads, never more than `size` at once, whoever calls and however often."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._slots = threading.BoundedSemaphore(size)

    def each(self, items: Sequence[Item], do: Callable[[Item], Found]) -> list[Found]:
        """`do` of every item, in their order.

        What the first that fails raises is raised at once; nothing new is begun then, and what runs is left to end.
        """
        todo: queue.SimpleQueue[tuple[int, Item]] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[int, Found] | BaseException] = queue.SimpleQueue()
        stop = threading.Event()
        for numbered in enumerate(items):
            todo.put(numbered)

        def work() -> None:
            while True:
                with self._slots:
                    if stop.is_set():
                        return
                    try:
                        index, item = todo.get_nowait()
                        done.put((index, do(item)))
                    except queue.Empty:
                        return
                    except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
                        done.put(error)
                        return

        for _ in range(min(self._size, len(items))):
            # Daemons: a process that is told to end doesn't wait for a server.
            threading.Thread(target=work, name="judge", daemon=True).start()
        found: dict[int, Found] = {}
        try:
            while len(found) < len(items):
                result = done.get()
                if isinstance(result, BaseException):
                    raise result
                found[result[0]] = result[1]
        finally:
            stop.set()
        return [found[i] for i in range(len(items))]
