"""Rungs: the lengths of the search round. Everybody trains a little; the better ones train on in the next rung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bracket.domain import Trial, TrialResult


@dataclass(frozen=True)
class Rung:
    """Trials of equal length: so many configs, the baseline included, trained to so many steps. `about`: how many is
    decided as results come in."""

    configs: int
    steps: int
    about: bool = False


GROWTH = 2.0
"""How many times longer a tournament's rung is than the one before: who goes on is decided in small steps."""


def ladder(
    configs: int, steps: int, *, rounds: int, reduction: float, least: int, growth: float = GROWTH
) -> tuple[Rung, ...]:
    """Rungs whose configs get fewer by `reduction` while they get longer by `growth`; the last has `steps` steps. With
    both the same it is successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943).

    Fewer rungs are made where there is nobody left to drop: no rung has fewer than `least` configs beside the baseline.
    """
    others = [max(0, configs - 1)]
    while len(others) < rounds and others[-1] > max(1, least):
        others.append(max(1, least, -int(-others[-1] // reduction)))
    last = len(others) - 1
    return tuple(Rung(n + 1, max(1, round(steps / growth ** (last - k)))) for k, n in enumerate(others))


def in_order(told: Sequence[TrialResult], open_: Sequence[Trial]) -> list[Trial]:
    """Ended and running trials of one rung in the order they began."""
    # By length first: search-1000 began after search-999.
    return sorted([*(r.trial for r in told), *open_], key=lambda t: (len(t.id), t.id))


def ranked(results: Sequence[TrialResult], rung: int) -> list[TrialResult]:
    """The judged trials of one rung, best first; equal scores in the order they began."""
    judged = [(r.score.total, place, r) for place, r in enumerate(results) if r.trial.rung == rung and r.score]
    return [r for *_, r in sorted(judged, key=lambda item: item[:2])]


def standing(results: Sequence[TrialResult]) -> list[TrialResult]:
    """Every config once, by the longest rung it was trained in: longer rungs first, within one the better first.

    Trials of different length are never compared by score: who went further stands above who did not, and who failed
    in a later rung is not brought back by its score in an earlier one.
    """
    found: list[TrialResult] = []
    seen: set[str] = set()
    for rung in sorted({r.trial.rung for r in results}, reverse=True):
        here = [r for r in results if r.trial.rung == rung]
        found += [r for r in ranked(here, rung) if key(r.trial.config) not in seen]
        seen |= {key(r.trial.config) for r in here}
    return found


def key(config: object) -> str:
    """A config as a text that is equal for equal configs."""
    return repr(sorted(dict(config).items()))  # type: ignore[call-overload]
