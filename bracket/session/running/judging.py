"""Trials that ended and wait for the judge: beside the next trainings where memory allows, and later when it is away.

An outage never becomes a score. What a judge can't be asked about now is asked again after a while, for as long as the
session runs; stopped meanwhile, the trial stays open in the ledger and is judged on resume.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self, TypeVar

from bracket.domain import Sample, TrialResult, mean
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges import Judge
from bracket.session.duel.course import arm_judgements
from bracket.session.evaluate import Ended, judged, keep_judgements
from bracket.session.job import BEFORE

log = logging.getLogger(__name__)
T = TypeVar("T")
Together = Callable[[Sequence[TrialResult], Judge], list[TrialResult]]
"""Judges several results at once."""

POLL_SECONDS = 0.1

FIRST_WAIT, LONGEST_WAIT = 15.0, 300.0
"""Seconds before a judge that was away is asked again: twice as long each time."""


def patiently(ask: Callable[[], T], runner: Standing) -> T:
    """What the judge answers, asked again for as long as it is away.

    Raises:
        Stopped: the session was asked to stop meanwhile.
        JudgeError: the judge can't work at all.
    """
    delay = FIRST_WAIT
    while True:
        try:
            answer = ask()
        except JudgeUnavailable as error:
            runner.note = f"{error.message.rstrip('.')}; asking again"
            log.warning("%s; asking again in %.0f s", error, delay)
            until = time.monotonic() + delay
            while time.monotonic() < until:
                runner.heed_stop()
                runner.report()
                time.sleep(POLL_SECONDS)
            delay = min(2 * delay, LONGEST_WAIT)
        else:
            runner.note = ""
            if runner.judge.exclusive:
                runner.judge.park()
            return answer


def judge_base(folder: Path, drawn: Sequence[Sample], judge: Judge, runner: Standing | None = None) -> None:
    """Judge the bare base's pictures, once: how good the baseline is, is told beside it. Pictures that can't be judged
    leave that untold.

    Args:
        runner: who waits for a judge that is away; None: nobody does.

    Raises:
        JudgeError: the judge can't work at all. Stopped: the session was asked to stop.
    """
    if not drawn or arm_judgements(folder / BEFORE):
        return
    try:
        found = judge.score(drawn) if runner is None else patiently(lambda: judge.score(drawn), runner)
        keep_judgements(folder / BEFORE, found)
    except JudgeError as error:
        if error.path is None:
            raise
        log.warning("the base's pictures can't be judged: %s", error)


def base_score(folder: Path) -> float | None:
    """The mean judged score of the bare base's pictures; None where they were not judged."""
    found = arm_judgements(folder / BEFORE)
    return mean([j.score for j in found]) if found else None


class Standing(Protocol):
    """What waits for a judge: it can say so, and stop."""

    note: str
    judge: Judge

    def report(self) -> None: ...

    def heed_stop(self) -> None: ...


def each(results: Sequence[TrialResult], judge: Judge) -> list[TrialResult]:
    """Every result by itself."""
    return [judged(result, judge) for result in results]


class JudgeQueue:
    """Judges one group of trials after the other in a thread of its own.

    Args:
        together: how those of a group are judged.

    Attributes:
        note: why nothing is judged just now; "" while all is well.
    """

    def __init__(self, judge: Judge, together: Together = each) -> None:
        self.judge = judge
        self.note = ""
        self._together = together
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="judge")
        self._waiting: deque[Sequence[Ended]] = deque()
        self._asked: tuple[Future[list[TrialResult]], Sequence[Ended]] | None = None
        self._delay = FIRST_WAIT
        self._not_before = 0.0

    def add(self, *group: Ended) -> None:
        """Trials that are judged together."""
        if group:
            self._waiting.append(group)

    @property
    def empty(self) -> bool:
        return not self._waiting and self._asked is None

    @property
    def blocks(self) -> bool:
        """Whether no training may be started: the judge needs the GPU for what waits."""
        return self.judge.exclusive and not self.empty

    def poll(self, *, idle: bool) -> list[Ended]:
        """Those judged since the last call.

        Args:
            idle: nothing trains now, so that a judge may have the GPU for itself.

        Raises:
            JudgeError: the judge can't work at all.
        """
        found = self._answered()
        may_ask = self._waiting and self._asked is None and time.monotonic() >= self._not_before
        if may_ask and (idle or not self.judge.exclusive):
            group = self._waiting.popleft()
            self._asked = (self._pool.submit(self._together, [e.result for e in group], self.judge), group)
        return found

    def _answered(self) -> list[Ended]:
        if self._asked is None or not self._asked[0].done():
            return []
        future, group = self._asked
        self._asked = None
        try:
            results = future.result()
        except JudgeUnavailable as error:
            self._waiting.appendleft(group)
            self._not_before = time.monotonic() + self._delay
            self.note = f"{error.message.rstrip('.')}; {sum(map(len, self._waiting))} waiting to be judged"
            log.warning("%s; asking again in %.0f s", error, self._delay)
            self._delay = min(2 * self._delay, LONGEST_WAIT)
            return []
        self.note, self._delay = "", FIRST_WAIT
        if self.empty and self.judge.exclusive:
            self.judge.park()
        return [replace(ended, result=result) for ended, result in zip(group, results, strict=True)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
