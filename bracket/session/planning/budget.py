"""From hours to a session: how many configs, finalists, seeds and pairs a budget pays for.

Plans lie on one path, from a single training to a large search, on which no count ever goes down; a budget pays for
the last of them that fits. So more hours never plan less. The path reserves the duel first: a claim about the settings
takes so many pairs and no fewer, while a config less to search only makes the find a little worse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from bracket.errors import SettingsError
from bracket.report.claims.again import first_alpha
from bracket.report.words import counted, duration
from bracket.search.rungs import GROWTH
from bracket.session.duel.again import standing
from bracket.session.job import Context
from bracket.session.planning.plan import planned_rounds, speed_of
from bracket.session.planning.promise import fewest_pairs
from bracket.session.timing import Speed

MOST_CONFIGS, MOST_PAIRS = 240, 20
_MOST_HOURS = 100_000
_SMALL, _COMMON = 4, 24
"""Configs of a search that is only there to have a winner, and of a good one; beyond it everything grows."""
_LARGE = 64
"""Configs beyond which a tournament has a rung more."""
_LEAST_STEPS = 10
"""A rung so short tells nothing."""
_SCALE = (0.5, 1, 2, 4, 8, 12, 24, 48, 96, 168, 336, 720)
"""Hours that a slider may end at."""
HELD = ("configs", "finalists", "seeds", "pairs")
"""What `fit` chooses, and what it may be told to leave."""


@dataclass(frozen=True)
class Size:
    """How large a session is."""

    configs: int
    finalists: int
    seeds: int
    pairs: int


@dataclass(frozen=True)
class Fitted:
    """A question that a budget pays for.

    `seconds` is what it takes, `words` say what the budget pays for and what it does not.
    """

    question: Context
    seconds: float
    words: str


def fit(context: Context, hours: float, speed: Speed, held: Collection[str] = (), least: int = 0) -> Fitted:
    """The question with as many configs, rungs, finalists, seeds and pairs as so many hours of wall time pay for.

    Steps, strategy and all else stay as they are: those are what was asked. Where not even the smallest session fits,
    that one is given, and `words` say so.

    Args:
        held: names of `HELD` that stay as they were asked for.
        least: pairs that a claim about the settings takes; by default of a first session.

    Raises:
        SettingsError: nobody has so many hours.
    """
    if not 0 <= hours <= _MOST_HOURS:
        raise SettingsError(f"{hours:g} hours can't be filled", remedy=f"Ask for 0 to {_MOST_HOURS}.")
    least = least or fewest_pairs(context.at_alpha(first_alpha(context.settings.confirmation.alpha, ())))
    sized = [with_size(context, size) for size in _sizes(context, least, held)]
    seconds = [sum(r.seconds for r in planned_rounds(one, speed)) for one in sized]
    budget = hours * 3600 * (1 + 1e-9)
    paid = [i for i, cost in enumerate(seconds) if cost <= budget]
    chosen = paid[-1] if paid else 0
    words = _words(sized, seconds, chosen if paid else None, hours * 3600, least)
    return Fitted(sized[chosen], seconds[chosen], words)


def fit_here(context: Context, hours: float, held: Collection[str] = ()) -> Fitted:
    """As `fit`, on this machine and at the speed that is known of it.

    Raises:
        SettingsError: nobody has so many hours.
    """
    speed = speed_of(context.preset, context.device)
    return fit(context, hours, speed, held, fewest_pairs(context.at_alpha(standing(context).alpha)))


def seconds_here(context: Context) -> float:
    """What the question takes on this machine."""
    return sum(r.seconds for r in planned_rounds(context, speed_of(context.preset, context.device)))


def with_size(context: Context, size: Size) -> Context:
    """The question with these counts, and as many rungs as suit them."""
    return context.asked(
        search={"configs": size.configs, "rungs": _rungs(context, size.configs)},
        finals={"finalists": size.finalists, "seeds": size.seeds},
        confirmation={"pairs": size.pairs},
    )


def slider_end(seconds: float) -> float:
    """Hours that a slider ends at, for a session of about so many seconds: it lies in the lower half."""
    return next((h for h in _SCALE if h * 3600 >= 2.5 * seconds), float(_SCALE[-1]))


def _sizes(context: Context, least: int, held: Collection[str]) -> list[Size]:
    """The path, with what is held at its own."""
    s = context.settings
    own = Size(s.search.configs, s.finals.finalists, s.finals.seeds, s.confirmation.pairs)
    kept = {name: getattr(own, name) for name in held}
    return list(dict.fromkeys(replace(size, **kept) for size in _path(least)))


@lru_cache(maxsize=8)
def _path(least: int) -> tuple[Size, ...]:
    """Sizes in the order in which a growing budget buys them: something to compare, the pairs of the duel, the finals,
    the search, and then all of them together."""
    start = [Size(n, 1, 1, 0) for n in range(1, _SMALL + 1)]
    duel = [Size(_SMALL, 1, 1, n) for n in range(1, least + 1)]
    finals = [Size(5, 1, 1, least), Size(6, 2, 1, least), Size(6, 2, 2, least), Size(8, 3, 2, least)]
    search = [Size(n, 3, 2, least) for n in range(9, _COMMON + 1)]
    return (*start, *duel, *finals, *search, *(_large(n, least) for n in range(_COMMON + 1, MOST_CONFIGS + 1)))


def _large(configs: int, least: int) -> Size:
    beyond = configs - _COMMON
    pairs = max(least, min(MOST_PAIRS, least + beyond // 4))
    return Size(configs, min(6, 3 + beyond // 16), min(4, 2 + beyond // 24), pairs)


def _rungs(context: Context, configs: int) -> int:
    """Rungs of a tournament: three, for a large search four, and fewer where the first would be too short."""
    s = context.settings.search
    if s.strategy != "tournament":
        return s.rungs
    wanted = 3 if configs <= _LARGE else 4
    while wanted > 1 and s.steps / GROWTH ** (wanted - 1) < _LEAST_STEPS:
        wanted -= 1
    return wanted


def _words(sized: Sequence[Context], seconds: Sequence[float], chosen: int | None, budget: float, least: int) -> str:
    """What the budget pays for, and what is next where it can't pay for every kind of claim."""
    head = duration(budget)
    if chosen is None:
        return (
            f"{head} does not pay for the smallest session of these lengths, which takes {duration(seconds[0])}. "
            "Shorter trainings would."
        )
    size, largest = sized[chosen].settings, chosen == len(sized) - 1
    if size.search.configs < 2:
        compare = _cheapest(sized, seconds, lambda s: s.settings.search.configs > 1)
        return f"{head} pays for the baseline alone, with nothing to compare it with.{_from(compare, 'A comparison')}"
    pairs = size.confirmation.pairs
    if pairs < least:
        claim = _cheapest(sized, seconds, lambda s: s.settings.confirmation.pairs >= least)
        have = f"{pairs} of the {least} paired runs" if pairs else f"none of the {least} paired runs"
        return f"{head} pays for {have} that a claim about the settings takes.{_from(claim, 'All of them')}"
    more = " Longer trainings are a better use of more." if largest and budget > 1.5 * seconds[chosen] else ""
    return f"{head} pays for {counted(size.search.configs, 'config')} and {counted(pairs, 'paired run')}.{more}"


def _cheapest(sized: Sequence[Context], seconds: Sequence[float], holds: Callable[[Context], bool]) -> float | None:
    return min((cost for s, cost in zip(sized, seconds, strict=True) if holds(s)), default=None)


def _from(seconds: float | None, what: str) -> str:
    return f" {what} would take {duration(seconds)}." if seconds is not None else ""
