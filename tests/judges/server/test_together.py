"""Threads that wait together: order, limit, and what a failure does."""

from __future__ import annotations

import threading
import time

import pytest

from bracket.judges.server.together import Crew


def test_results_come_in_the_order_of_the_items() -> None:
    assert Crew(4).each([0.03, 0.0, 0.01], lambda s: (time.sleep(s), s)[1]) == [0.03, 0.0, 0.01]
    assert Crew(4).each([], str) == []


def test_the_first_failure_ends_it_without_waiting_for_the_rest() -> None:
    begun, ended, gate = [], [], threading.Event()

    def do(item: int) -> int:
        begun.append(item)
        if item == 0:
            raise ValueError("no")
        gate.wait(60)
        ended.append(item)
        return item

    with pytest.raises(ValueError, match="no"):
        Crew(2).each(range(50), do)
    assert not ended
    gate.set()
    time.sleep(0.05)
    assert len(begun) <= 3


def test_the_limit_holds_over_several_callers() -> None:
    crew, lock, now, most = Crew(3), threading.Lock(), [0], [0]

    def do(_: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= 1

    callers = [threading.Thread(target=crew.each, args=(range(10), do)) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert most == [3]
