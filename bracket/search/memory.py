"""Memory: what earlier sessions of a preset found, lent to the sampler of a new one.

Only ranks travel. A score is of one dataset, one judge and one length, and says nothing beside another session's; that
a config was the third best of twelve does. Nothing here touches a disk.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from bracket.domain import Config, Knob, mean
from bracket.search.rungs import key
from bracket.search.space import effective

LIMIT = 100
"""Configs that are borrowed at most."""
OTHER_JUDGE = 0.5
"""What a session counts whose pictures another judge looked at."""


@dataclass(frozen=True)
class Data:
    """What a session trains on, as far as its likeness to another's counts.

    Attributes:
        pictures: how many there are.
        edge: √(width × height) of the middle one, in pixels; 0 when unknown (clips).
        folder: where they lie.
        digest: equal for the same pictures with the same captions.
        trigger_word, class_word: "" where there is none.
    """

    pictures: int
    edge: float
    folder: str
    digest: str
    trigger_word: str = ""
    class_word: str = ""


@dataclass(frozen=True)
class Earlier:
    """One rung of one earlier session: configs trained to one length, with their scores (lower is better).

    `tried` holds (config, score); a score of None is a training that diverged. Crashes are no fault of the settings and
    are left out by whoever makes this. `judge` is equal for sessions whose scores were made alike.
    """

    session: str
    steps: int
    tried: tuple[tuple[Config, float | None], ...]
    data: Data
    judge: str


@dataclass(frozen=True)
class Borrowed:
    """One config of an earlier session. `quantile` is its place in its rung (0 is best, 1 worst), `weight` what its
    session counts here (0..1), `source` the session's name."""

    config: Config
    quantile: float
    weight: float
    source: str


def quantiles(scores: Sequence[float | None]) -> list[float]:
    """The places of scores among each other: (rank - ½) / n, lower scores first; equal ones share the mean of their
    ranks, None (a training that diverged) is behind all others."""
    values = [float("inf") if s is None else s for s in scores]
    order = sorted(values)
    return [(bisect_left(order, v) + bisect_right(order, v)) / 2 / len(values) for v in values]


def likeness_of_data(a: Data, b: Data) -> float:
    """How alike two datasets are, 0..1: the mean of four parts.

    The pictures (1 the same ones with the same captions, ½ of the same folder, 0 others), the ratio of their numbers,
    the ratio of their edges, and the concept (1 the same trigger or class word, ½ where neither names any, 0 another).
    """
    same = 1.0 if a.digest == b.digest else 0.5 if a.folder == b.folder else 0.0
    return mean([same, _ratio(a.pictures, b.pictures), _ratio(a.edge, b.edge), _concept(a, b)])


def weight(earlier: Earlier, *, steps: int, data: Data, judge: str) -> float:
    """What an earlier session's rung counts beside a session of trials of `steps` steps, 0..1: a product.

    The likeness of the data; the ratio of the lengths; (n - 1) / (n + 2) for its n configs, as a place among few says
    little (0 for one, ½ for four, 0.79 for twelve); and `OTHER_JUDGE` where the scores were made otherwise.
    """
    n = len(earlier.tried)
    few = max(0, n - 1) / (n + 2)
    judged = 1.0 if earlier.judge == judge else OTHER_JUDGE
    return likeness_of_data(earlier.data, data) * _ratio(earlier.steps, steps) * few * judged


def borrow(
    sessions: Sequence[Earlier],
    knobs: Sequence[Knob],
    *,
    steps: int,
    data: Data,
    judge: str,
    seed: int,
    limit: int = LIMIT,
) -> tuple[Borrowed, ...]:
    """What a session may borrow, in the order in which it is let go of last.

    Of every earlier session the rung that counts most is taken, and of sessions that tried the very same configs (one
    judged again, or run twice) the one that counts most. A config is borrowed if it would be trained here as it was
    there: every knob has a value and lies within the present bounds, and there is no other knob. Each of them is kept
    with the probability of its weight, by draws that depend on `seed` and the session's name alone.

    Args:
        steps: the length of the trials that the sampler learns from.
        limit: how many at most.
    """
    counted = [(weight(e, steps=steps, data=data, judge=judge), e) for e in sessions]
    ranked = sorted(counted, key=lambda pair: (-pair[0], pair[1].session, pair[1].steps))
    seen: set[object] = set()
    drawn: list[tuple[float, Borrowed]] = []
    for counts, earlier in ranked:
        marks = {earlier.session, frozenset(key(config) for config, _ in earlier.tried)}
        if not counts or seen & marks:
            continue
        seen |= marks
        rng = random.Random(f"{seed} {earlier.session}")
        for (config, _), place in zip(earlier.tried, quantiles([s for _, s in earlier.tried]), strict=True):
            chance = counts - rng.random()
            if chance > 0 and fits(config, knobs):
                drawn.append((chance, Borrowed(dict(config), place, counts, earlier.session)))
    drawn.sort(key=lambda pair: -pair[0])
    return tuple(borrowed for _, borrowed in drawn[:limit])


def lent(borrowed: Sequence[Borrowed], own: int, configs: int) -> Sequence[Borrowed]:
    """What still counts after `own` results of the session's own, of the `configs` it tries.

    At most as many as the session has configs, and with every own result fewer, evenly down to none at its end (after
    `LIMIT` own results in a long one). So no earlier session can outvote this one: own results are the majority from
    the middle of the search on at the latest, and a memory that misleads is forgotten
    (`tests/benchmarks/bench_memory.py` measures what it costs).
    """
    span = min(configs, LIMIT)
    return borrowed[: max(0, round(min(len(borrowed), span) * (1 - own / span)))]


def fits(config: Config, knobs: Sequence[Knob]) -> bool:
    """Whether a config would be trained with these knobs exactly as it is."""
    try:
        return effective(config, knobs) == dict(config)
    except (KeyError, TypeError, ValueError):  # a knob it has no value for, or one of another kind
        return False


def _ratio(a: float, b: float) -> float:
    """The smaller over the larger; ½ where one is unknown, 1 where both are."""
    if not a or not b:
        return 1.0 if a == b else 0.5
    return min(a, b) / max(a, b)


def _concept(a: Data, b: Data) -> float:
    named = [{w.casefold() for w in (d.trigger_word, d.class_word) if w} for d in (a, b)]
    if not named[0] and not named[1]:
        return 0.5
    return 1.0 if named[0] & named[1] else 0.0
