"""When more trials can hardly change the answer: what the rest of the first rung could still gain.

A Gaussian process over the knobs (see `bracket.stats.search.process`), fitted to the judged trials, says how much
better than the best so far the configs not tried yet may be. Two figures bound what those still to come gain together:
the expected improvement (Jones, Schonlau and Welch 1998) of the most promising config, times how many come, and the
expected gap between the best tried and the best there is, which no search can exceed. The smaller one counts.

A pure function of the trials that ended, so a search that was killed and resumed decides the same. Scores are those of
the first rung's length: lower is better.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bracket.domain import Config, Knob, Outcome, TrialResult
from bracket.search.ends import place, value
from bracket.search.rungs import key
from bracket.search.space import effective, is_active, random_config
from bracket.stats.search.scale import is_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bracket.stats.search.process import Process

    Floats = NDArray[np.float64]

FEWEST, PER_KNOB = 8, 3
"""Judged trials before anything is said: so many, and so many for each knob."""
_LAST = 4
"""Of so many of the latest estimates the largest counts: whoever stops at the first low one picks one that erred."""
_MOST = 100
"""Trials the process is fitted to: the best half of them, and the others spread over the rest."""
_CANDIDATES, _NEAR, _DRAWN, _DRAWS = 192, 64, 48, 256
_REACH = 0.1
"""Part of a knob's range, to either side, in which candidates near the best are drawn."""


@dataclass(frozen=True)
class Outlook:
    """What the search still has before it.

    Attributes:
        begun, left: configs of the first rung that began, and that did not.
        gain: by how much those left are expected to improve the best score, at most.
    """

    begun: int
    left: int
    gain: float


class Enough:
    """Says when the first rung may end. Asked again with the same trials it remembers.

    Args:
        configs: how many the first rung has.
        below: the gain in score under which it ends; 0 for never.
    """

    def __init__(self, knobs: Sequence[Knob], *, configs: int, below: float) -> None:
        self._knobs, self._configs, self.below = tuple(knobs), configs, below
        self._known: dict[tuple[tuple[str, float | None], ...], float | None] = {}
        """Expected gain by the trials it rests on and their scores, which move with the round's others."""

    def __call__(self, told: Sequence[TrialResult], begun: int) -> bool:
        """Whether those left can hardly change the answer. Arguments as `look`."""
        if self.below <= 0:
            return False
        found = self.look(told, begun)
        return found is not None and found.gain < self.below

    def look(self, told: Sequence[TrialResult], begun: int) -> Outlook | None:
        """What those left may gain; None while too few trials were judged to say.

        Args:
            told: the ended trials of the first rung, in the order they began.
            begun: how many of it began, ended or not.
        """
        # In a long search one trial changes little and a fit costs a moment: one in 2 from 64 on, one in 4 from 128…
        step = 1 << max(0, (len(told) // 32).bit_length() - 1)
        last = len(told) // step * step
        prefixes = [told[:n] for n in range(last, last - _LAST * step, -step) if n >= FEWEST]
        asked = {tuple((r.trial.id, r.score.total if r.score else None) for r in p): p for p in prefixes}
        known = self._known
        self._known = {ids: known[ids] if ids in known else self._gain(prefix) for ids, prefix in asked.items()}
        gains = [gain for gain in self._known.values() if gain is not None]
        left = max(0, self._configs - begun)
        return Outlook(begun, left, max(gains) if left else 0.0) if len(gains) == _LAST else None

    def _gain(self, told: Sequence[TrialResult]) -> float | None:
        return expected_gain(self._knobs, told, self._configs - len(told))


def expected_gain(knobs: Sequence[Knob], told: Sequence[TrialResult], left: int) -> float | None:
    """By how much `left` more configs are expected to improve the best score, at most; None for too few judged trials.

    Settings that melted count as bad as the worst judged trial; other failures say nothing of their settings.
    """
    import numpy as np

    judged = [r for r in told if r.score is not None]
    if len(judged) < max(FEWEST, PER_KNOB * sum(not _single(k) for k in knobs)):
        return None
    totals = [r.score.total for r in judged if r.score is not None]
    melted = [r for r in told if r.score is None and r.outcome is Outcome.DIVERGED]
    configs, scores = _thinned(
        [r.trial.config for r in (*judged, *melted)], np.array(totals + [max(totals)] * len(melted))
    )
    x = np.array([encoded(c, knobs) for c in configs])
    untried = candidates(knobs, {key(r.trial.config) for r in told}, configs[int(np.argmin(scores))])
    if not untried or not x.shape[1]:
        return 0.0
    from bracket.stats.search.process import fit

    points = np.array([encoded(c, knobs) for c in untried])
    return _bounded(fit(x, scores), x, points, min(left, len(untried)))


def _bounded(process: Process, x: Floats, points: Floats, left: int) -> float:
    """The smaller of the two bounds."""
    import numpy as np

    best = int(np.argmin(process.predict(x)[0]))
    improvement = process.improvement(x, points)
    order = np.argsort(-improvement, kind="stable")
    # Half of those drawn are the most promising, the others lie anywhere.
    shown = np.concatenate([order[: _DRAWN // 2], order[_DRAWN // 2 :: max(1, 2 * len(order) // _DRAWN)]])
    surfaces = process.draws(np.vstack([x[best : best + 1], points[shown]]), _DRAWS, seed=0)
    gap = float(np.maximum(surfaces[:, 0] - surfaces[:, 1:].min(axis=1), 0.0).mean())
    return min(left * float(improvement[order[0]]), gap)


def encoded(config: Config, knobs: Sequence[Knob]) -> list[float]:
    """A config as a point of the unit cube: numbers by their place in their range, on the knob's scale, names by a
    coordinate each. A knob that does not count in the config lies in the middle."""
    found: list[float] = []
    for knob in knobs:
        if _single(knob):
            continue
        counts = is_active(knob, config) and knob.name in config
        if is_number(knob):
            found.append(place(knob, float(config[knob.name])) if counts else 0.5)
        else:
            found += [float(config[knob.name] == c) if counts else 0.5 for c in knob.choices]
    return found


def candidates(knobs: Sequence[Knob], tried: Set[str], best: Config, seed: int = 0) -> list[Config]:
    """Configs not tried yet: from all over the space, and near the best."""
    import numpy as np

    rng = np.random.default_rng(seed)
    near = [_near(k, best) for k in knobs]
    drawn = [random_config(knobs, rng) for _ in range(_CANDIDATES)]
    # Conditions are those of the whole space; only the ranges are narrower.
    drawn += [effective(random_config(near, rng), knobs) for _ in range(_NEAR)]
    found = {key(c): c for c in drawn}
    return [c for name, c in found.items() if name not in tried]


def _near(knob: Knob, best: Config) -> Knob:
    if knob.kind == "choice" or knob.name not in best or _single(knob):
        return knob
    here = place(knob, float(best[knob.name]))
    low, high = (value(knob, min(1.0, max(0.0, here + side * _REACH))) for side in (-1, 1))
    return replace(knob, low=low, high=high)


def _thinned(configs: Sequence[Config], scores: Floats) -> tuple[list[Config], Floats]:
    import numpy as np

    if len(configs) <= _MOST:
        return list(configs), scores
    order = np.argsort(scores, kind="stable")
    rest = order[_MOST // 2 :]
    kept = np.concatenate([order[: _MOST // 2], rest[np.linspace(0, len(rest) - 1, _MOST // 2).astype(int)]])
    return [configs[i] for i in kept], scores[kept]


def _single(knob: Knob) -> bool:
    """The bounds leave it one value."""
    return len(knob.choices) == 1 if knob.kind == "choice" else knob.low == knob.high
