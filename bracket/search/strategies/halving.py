"""Asynchronous halving, for many GPUs: no rung waits for another, so a worker that is free always has something to do.

Who goes on is said by Optuna's pruners: `asha` by its SuccessiveHalvingPruner (Li et al. 2020, arXiv 1810.05934),
`hyperband` by its HyperbandPruner (Li et al. 2018, arXiv 1603.06560), which shares the configs out to brackets, by a
hash of their number, and spares those of bracket b the comparisons of the first b rungs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bracket.domain import Config, Outcome, Trial, TrialResult, Wanted
from bracket.search.rungs import Rung, in_order, key
from bracket.search.sampling import Proposer
from bracket.search.strategies.tournament import Enough, Tournament

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner


class Halving(Tournament):
    """A tournament in which every result is decided on when it comes: longer rungs first, then new configs.

    The baseline competes like any other and is never pruned. It begins a rung as soon as somebody else has reached it,
    before everybody else.

    Args:
        reduction: of the configs that reached a rung about one in so many goes on.
        seed: of the session; hyperband's brackets are drawn by it.
    """

    def __init__(
        self,
        name: str,
        rungs: Sequence[Rung],
        *,
        proposer: Proposer,
        openings: Sequence[tuple[str, Config]],
        training_seed: int,
        reduction: int,
        seed: int,
        enough: Enough | None = None,
    ) -> None:
        super().__init__(name, rungs, proposer=proposer, openings=openings, training_seed=training_seed, enough=enough)
        self._competition = Competition(name, rungs=len(rungs), reduction=reduction, seed=seed)

    def propose(self, told: Sequence[TrialResult], open_: Sequence[Trial], room: int) -> list[Wanted]:
        """See `Strategy.propose`."""
        through = self._competition.through(told, open_) if len(self.rungs) > 1 else set()
        found = [w for k in range(len(self.rungs) - 1, 0, -1) for w in self._next(through, told, open_, k)][:room]
        if len(found) < room:
            ended, here = [r for r in told if not r.trial.rung], [t for t in open_ if not t.rung]
            found += self._fresh(ended, here, room - len(found))
        return found

    def _next(self, through: set[str], told: Sequence[TrialResult], open_: Sequence[Trial], rung: int) -> list[Wanted]:
        """Who is through to a rung and has not begun there, the baseline first of all: while it is still on its way,
        all wait for it."""
        if any(t.origin == "baseline" and t.rung < rung for t in open_):
            return []
        begun = {key(t.config) for t in (*open_, *(r.trial for r in told)) if t.rung == rung}
        below = [r.trial for r in told if r.trial.rung == rung - 1 and r.score]
        others = [t for t in below if t.id in through and t.origin != "baseline"]
        chosen = [*(t for t in below if t.origin == "baseline"), *others] if others else []
        return [self._wanted(t.origin, t.config, rung, t.id) for t in chosen if key(t.config) not in begun]


class Competition:
    """An Optuna study with a trial for every config, whose pruner says who goes on from each rung.

    The pruner compares a result with those told before it, so the order matters. It is that in which the trials of a
    rung began, and not that in which they ended, which the ledger doesn't keep: a restart changes nothing. A trial that
    ends late may change what is said of those that began after it; what they have begun meanwhile stands. So does what
    was begun before a result moved the others' scores, after which all is asked anew.

    Args:
        name: "asha" or "hyperband".
        rungs: how many there are.
        reduction: at least 2.
    """

    def __init__(self, name: str, *, rungs: int, reduction: int, seed: int) -> None:
        self._name, self._rungs, self._reduction, self._seed = name, rungs, reduction, seed
        self._study: optuna.Study | None = None
        self._numbers: dict[str, int] = {}
        """Number in the study by config: the place at which it began."""
        self._said: dict[str, bool] = {}
        """Whether a trial goes on, of those of which no later end can change it."""
        self._totals: dict[str, float] = {}
        """Scores as they were last asked with, by trial."""

    def through(self, told: Sequence[TrialResult], open_: Sequence[Trial]) -> set[str]:
        """Ids of the trials that may go on to the next rung."""
        totals = {r.trial.id: r.score.total for r in told if r.score}
        if any(totals.get(trial) != total for trial, total in self._totals.items()):
            self._study, self._numbers, self._said = None, {}, {}
        self._totals = totals
        study = self._study = self._study or self._new_study()
        for trial in in_order([r for r in told if not r.trial.rung], [t for t in open_ if not t.rung]):
            if key(trial.config) not in self._numbers:
                self._numbers[key(trial.config)] = study.ask().number
        settled, loose = _settled(told, open_)
        for result in settled:
            if result.trial.id not in self._said:
                self._said[result.trial.id] = self._goes_on(study, result)
        found = {trial for trial, on in self._said.items() if on}
        if loose:
            copy = self._new_study()
            copy.add_trials(study.get_trials(deepcopy=False))
            found |= {r.trial.id for r in loose if self._goes_on(copy, r)}
        return found

    def _goes_on(self, study: optuna.Study, result: TrialResult) -> bool:
        """Report a result at its rung and ask the pruner. Settings that melt are the worst there are; a crash is no
        fault of the settings and is not compared with."""
        from optuna.trial import Trial as Reported

        melted = result.outcome is Outcome.DIVERGED
        if result.score is None and not melted:
            return False
        number = self._numbers[key(result.trial.config)]
        trial = Reported(study, study.get_trials(deepcopy=False)[number]._trial_id)
        # In lengths of the first rung: rounded steps are not exactly `reduction` times each other.
        trial.report(result.score.total if result.score else math.inf, self._reduction**result.trial.rung)
        return not trial.should_prune() and not melted

    def _new_study(self) -> optuna.Study:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        # The name draws hyperband's brackets; nothing is sampled here.
        name, sampler = f"{self._name}-{self._seed}", optuna.samplers.RandomSampler(seed=0)
        return optuna.create_study(study_name=name, sampler=sampler, pruner=self._pruner(), direction="minimize")

    def _pruner(self) -> BasePruner:
        from optuna.pruners import HyperbandPruner, SuccessiveHalvingPruner

        if self._name == "asha":
            return SuccessiveHalvingPruner(min_resource=1, reduction_factor=self._reduction)
        # As many brackets as rungs. Optuna counts them by a logarithm, which one more keeps from falling short.
        longest = self._reduction ** (self._rungs - 1) + (self._rungs > 1)
        return HyperbandPruner(min_resource=1, max_resource=longest, reduction_factor=self._reduction)


def _settled(told: Sequence[TrialResult], open_: Sequence[Trial]) -> tuple[list[TrialResult], list[TrialResult]]:
    """The results before which nothing can be told any more, and the others; rung after rung."""
    settled: list[TrialResult] = []
    loose: list[TrialResult] = []
    unsure: set[str] = set()
    """Configs of which a result is loose: what they did in later rungs is asked after it."""
    for rung in sorted({r.trial.rung for r in told}):
        ended = {r.trial.id: r for r in told if r.trial.rung == rung}
        sure = True
        for trial in in_order(list(ended.values()), [t for t in open_ if t.rung == rung]):
            sure = sure and trial.id in ended and key(trial.config) not in unsure
            if trial.id in ended:
                (settled if sure else loose).append(ended[trial.id])
                unsure |= set() if sure else {key(trial.config)}
    return settled, loose


def expected(name: str, rungs: Sequence[Rung], reduction: int) -> tuple[Rung, ...]:
    """The rungs with about as many configs as halving leads to each: one in `reduction` of those that are compared, and
    for hyperband all of a bracket up to its first comparison (Optuna's shares of the brackets).

    A result is compared with those before it, so more go on where the sampler finds better configs as it learns: up to
    twice as many in the last of three rungs.
    """
    last, others = len(rungs) - 1, rungs[0].configs - 1
    shares = [1.0]
    if name == "hyperband":
        sizes = [math.ceil((last + 1) * reduction ** (last - b) / (last - b + 1)) for b in range(last + 1)]
        shares = [size / sum(sizes) for size in sizes]
    found = []
    for k, rung in enumerate(rungs):
        reach = sum(share * reduction ** min(0, b - k) for b, share in enumerate(shares))
        found.append(Rung(min(others, max(1, round(others * reach))) + 1, rung.steps, about=k > 0))
    return tuple(found)
