"""The tournament: rungs that get longer, survivors train on. With one rung it is a plain search.

`tournament` drops the worse part after every rung; `screen` trains all briefly and leaves the choice to the finals
("train everyone a little, keep the best few", arXiv 2307.15422 and 2404.04111, which most early-stopping methods don't
beat); `tpe`, `random` and `nsga2` train all configs to one length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bracket.domain import Config, Round, Trial, TrialResult, Wanted
from bracket.search.rungs import Rung, key, ranked
from bracket.search.sampling import Proposer

Enough = Callable[[Sequence[TrialResult], int], bool]
"""Says of the ended trials of the first rung, and of how many of it began, whether the rung may end as it is."""


class Tournament:
    """A strategy that fills one rung after the other; a rung begins when the one before has ended.

    Args:
        name: what its trials are labelled with.
        proposer: where the first rung's configs come from, after the openings.
        openings: (origin, config) tried first, in this order; the baseline comes first.
        training_seed: of every trial, so that all see the same random numbers.
        enough: asked before every config after the openings; None for never.
    """

    def __init__(
        self,
        name: str,
        rungs: Sequence[Rung],
        *,
        proposer: Proposer,
        openings: Sequence[tuple[str, Config]],
        training_seed: int,
        enough: Enough | None = None,
    ) -> None:
        self.name, self.rungs, self._training_seed = name, tuple(rungs), training_seed
        self._openings, self._proposer, self._enough = tuple(openings), proposer, enough

    def propose(self, told: Sequence[TrialResult], open_: Sequence[Trial], room: int) -> list[Wanted]:
        """See `Strategy.propose`."""
        for number in range(len(self.rungs)):
            here = [t for t in open_ if t.rung == number]
            ended = [r for r in told if r.trial.rung == number]
            wanted = self._fresh(ended, here, room) if number == 0 else self._promoted(told, ended, here, number)
            if wanted or here:
                return wanted[:room]
        return []

    def _fresh(self, told: Sequence[TrialResult], open_: Sequence[Trial], room: int) -> list[Wanted]:
        """Openings, then what the sampler proposes, until the first rung is full or the space used up."""
        begun = len(told) + len(open_)
        found: list[Wanted] = []
        may_end = len(self._openings) <= begun < self.rungs[0].configs
        if may_end and self._enough is not None and self._enough(told, begun):
            return found
        for number in range(begun, min(self.rungs[0].configs, begun + room)):
            if number < len(self._openings):
                origin, config = self._openings[number]
            else:
                proposed = self._proposer.next(number, told, open_, [w.config for w in found])
                if proposed is None:
                    break
                origin, config = self.name, proposed
            found.append(self._wanted(origin, config, 0))
        return found

    def _promoted(
        self, told: Sequence[TrialResult], ended: Sequence[TrialResult], here: Sequence[Trial], rung: int
    ) -> list[Wanted]:
        """The best of the rung below that have not begun here yet. The baseline always comes along, first of all: the
        others' losses are measured by its."""
        begun = {key(t.config) for t in (*here, *(r.trial for r in ended))}
        below = ranked(told, rung - 1)
        best = [r for r in below if r.trial.origin != "baseline"][: self.rungs[rung].configs - 1]
        chosen = [*(r for r in below if r.trial.origin == "baseline"), *best] if best else []
        return [
            self._wanted(r.trial.origin, r.trial.config, rung, r.trial.id)
            for r in chosen
            if key(r.trial.config) not in begun
        ]

    def _wanted(self, origin: str, config: Config, rung: int, continues: str = "") -> Wanted:
        steps = self.rungs[rung].steps
        return Wanted(Round.SEARCH, origin, config, self._training_seed, steps, continues=continues, rung=rung)
