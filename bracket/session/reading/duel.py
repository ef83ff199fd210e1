"""A duel as anybody may watch it: how each comparison stands, in numbers and in words. Reading never changes a session.

Everything comes from the plan, the ledger and the judgements in the session's folder, and is read again only where one
of them changed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from bracket.domain import Judgement, Outcome, Round, Sample, Trial, TrialResult, mean
from bracket.report.material.tables import OUTCOMES
from bracket.report.words import counted, p_value, percent, points
from bracket.session.duel.course import (
    Course,
    arm_judgements,
    course_of_pairs,
    course_of_prompts,
    duel_of,
    pairs_of,
    read_arms,
    score_matrix,
    scores_by_seed,
)
from bracket.session.duel.more import added_plans, read_plans
from bracket.session.duel.plan import BASELINE, FOLDER, PLAN, RUNNER_UP, WINNER, DuelPlan
from bracket.session.evaluate import JUDGEMENTS
from bracket.session.running.confirm import NO_COMMON_SEED, duellists
from bracket.session.view import SessionView, TrialView
from bracket.stats.duel.rates import win_rate_interval
from bracket.stats.duel.sequential import Watched, interval_alpha
from bracket.stats.duel.signflip import sign_flip

Kind = Literal["prompt", "theme", "pair"]


_NOT_LOST = (Outcome.OK, Outcome.DIVERGED, Outcome.STOPPED)


@dataclass(frozen=True)
class Dot:
    """One unit that counts: what it is, and the winner's lead in it."""

    label: str
    difference: float


@dataclass(frozen=True)
class Comparison:
    """The winner against one other.

    Attributes:
        other: "baseline" or "runner_up"; dots: its units in the plan's order; watched: how it stands.
        win_rate: of prompts, the share of picture pairs the winner takes and its interval for who looks once.
    """

    other: str
    dots: tuple[Dot, ...]
    watched: Watched
    win_rate: tuple[float, float, float] | None = None

    @property
    def ahead(self) -> int:
        """Units in which the winner leads."""
        return sum(dot.difference > 0 for dot in self.dots)

    @property
    def mean(self) -> float:
        """The winner's mean lead; 0 without a unit."""
        return mean([dot.difference for dot in self.dots]) if self.dots else 0.0


@dataclass(frozen=True)
class Fight:
    """One kind of duel: of the checkpoints over prompts (or themes), or of the settings over pairs of trainings.

    Attributes:
        planned, counted, left_out: units; over, early: whether it ended, and before its planned end.
        before: duels of the same settings that ended before it without a claim, and do not count in it.
        newest: the last judged picture of winner and baseline, of one prompt and seed.
        lost: units that count with a training that ended without pictures that could be judged, as the worst for it.
        why: why units were left out or lost, or why there can be none; "" where nobody knows.
    """

    kind: Kind
    planned: int
    counted: int
    left_out: int
    over: bool
    early: bool
    comparisons: tuple[Comparison, ...]
    newest: tuple[Sample, Sample] | None = None
    before: int = 0
    lost: int = 0
    why: str = ""

    @property
    def saved(self) -> int:
        """Planned units it did without."""
        return self.planned - self.counted - self.left_out if self.over else 0


@dataclass(frozen=True)
class DuelView:
    """A session's confirmation: the duel of the checkpoints, then that of the settings where pairs are planned, of
    several the newest.

    Attributes:
        plan: of the confirmation; newest: of the duel of the settings that is shown.
    """

    plan: DuelPlan
    newest: DuelPlan
    fights: tuple[Fight, ...]

    @property
    def current(self) -> Fight:
        """The one that goes on, or the last that began."""
        begun = [f for f in self.fights if f.counted or f.left_out]
        return next((f for f in self.fights if not f.over), None) or (begun or list(self.fights))[-1]


_views: dict[Path, tuple[object, DuelView | None]] = {}
_lock = threading.Lock()


def read(view: SessionView) -> DuelView | None:
    """The session's duel; None before its plan was fixed.

    Raises:
        StorageError, JudgeError: the plan or a file of judgements is damaged.
    """
    told = [t for t in view.trials if t.round is Round.CONFIRMATION and t.outcome is not None]
    files = [
        view.folder / PLAN,
        *added_plans(view.folder),
        *(view.folder / FOLDER / arm / JUDGEMENTS for arm in (WINNER, BASELINE, RUNNER_UP)),
    ]
    stamp = (tuple(map(_stamp, files)), tuple((t.id, t.outcome, _stamp(t.folder / JUDGEMENTS)) for t in told))
    with _lock:
        if view.folder not in _views or _views[view.folder][0] != stamp:
            _views[view.folder] = (stamp, _read(view, told))
        return _views[view.folder][1]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _read(view: SessionView, told: Sequence[TrialView]) -> DuelView | None:
    folder = view.folder
    plans = read_plans(folder)
    if not plans:
        return None
    fights = [_of_prompts(plans[0], read_arms(folder, plans[0]))]
    if not duellists(plans[0], [_result(t) for t in view.trials if t.round is Round.FINALS]):
        fights[0] = replace(fights[0], why=NO_COMMON_SEED)
    if plans[-1].training_seeds:
        before = sum(bool(plan.training_seeds) for plan in plans[:-1])
        fights.append(replace(_of_pairs(plans[-1], [_result(t) for t in told]), before=before))
    return DuelView(plans[0], plans[-1], tuple(fights))


def _result(trial: TrialView) -> TrialResult:
    plain = Trial(trial.id, trial.round, trial.origin, trial.config, trial.seed, trial.steps, trial.folder)
    return TrialResult(plain, trial.outcome or Outcome.STOPPED, trial.cause, score=trial.score)


def _of_prompts(plan: DuelPlan, arms: Mapping[str, Sequence[Judgement]]) -> Fight:
    course = course_of_prompts(plan, arms)
    duel = duel_of(plan, arms)
    rates: dict[str, tuple[float, float, float]] = {}
    newest = None
    if duel:
        newest = _same_picture(duel.winner, duel.baseline, last=True)
        sides = {BASELINE: duel.baseline, **({RUNNER_UP: duel.runner_up} if duel.runner_up else {})}
        prompts = [p for p in plan.drawn() if p.text in {j.sample.prompt for j in duel.winner}]
        ours = score_matrix(duel.winner, prompts, plan.themes)
        for name, side in sides.items():
            won = (np.sign(ours - score_matrix(side, prompts, plan.themes)) + 1) / 2
            at = interval_alpha(plan.alpha, course.watched[name].final_alpha, plan.edition)
            low, high, _ = win_rate_interval(won, alpha=at)
            rates[name] = (float(won.mean()), low, high)
    units = plan.units
    return _fight(plan.unit, course, [", ".join(units[i]) for i in course.counted], newest, rates)


def _of_pairs(plan: DuelPlan, results: Sequence[TrialResult]) -> Fight:
    scores = scores_by_seed(plan, results)
    course = course_of_pairs(plan, scores)
    seeds = [plan.training_seeds[place] for place in course.counted]
    newest = None
    for seed in reversed(seeds):
        arms = {r.trial.origin: arm_judgements(r.trial.folder) for r in results if r.trial.seed == seed}
        newest = _same_picture(arms.get(WINNER, ()), arms.get(BASELINE, ()))
        if newest:
            break
    out = {plan.training_seeds[place] for place in course.left_out}
    lost = {pair.seed for pair in pairs_of(plan, scores)[0] if pair.lost}
    failed = [r for r in results if r.trial.seed in out | lost and r.score is None and r.outcome not in _NOT_LOST]
    why = next((f"{r.trial.id} {OUTCOMES[r.outcome]}: {r.cause.splitlines()[0]}" for r in failed if r.cause), "")
    fight = _fight("pair", course, [f"training seed {seed}" for seed in seeds], newest)
    return replace(fight, lost=len(lost), why=why)


def _fight(
    kind: Kind,
    course: Course,
    labels: Sequence[str],
    newest: tuple[Sample, Sample] | None,
    rates: Mapping[str, tuple[float, float, float]] | None = None,
) -> Fight:
    comparisons = [
        Comparison(
            name,
            tuple(Dot(label, d) for label, d in zip(labels, course.differences[name], strict=False)),
            watched,
            (rates or {}).get(name),
        )
        for name, watched in course.watched.items()
    ]
    counted_units, left_out = len(course.counted), len(course.left_out)
    over, early = course.over, course.early
    return Fight(kind, course.planned, counted_units, left_out, over, early, tuple(comparisons), newest)


def _same_picture(
    ours: Sequence[Judgement], theirs: Sequence[Judgement], *, last: bool = False
) -> tuple[Sample, Sample] | None:
    known = {(j.sample.prompt, j.sample.seed): j.sample for j in theirs}
    found = [(j.sample, known[key]) for j in ours if (key := (j.sample.prompt, j.sample.seed)) in known]
    return (found[-1] if last else found[0]) if found else None


# In words


def line(duel: DuelView) -> str:
    """The current duel on one line."""
    fight = duel.current
    return " ".join(part for c in fight.comparisons[:1] for part in (lead(fight, c), evidence(fight, c)) if part)


def added(fight: Fight) -> str:
    """What went before an added duel; "" for the confirmation's own."""
    if not fight.before:
        return ""
    earlier = "An earlier duel" if fight.before == 1 else f"{fight.before} earlier duels"
    return f"{earlier} ended without a claim. These are fresh pairs, and only they count here."


def lead(fight: Fight, c: Comparison) -> str:
    """How far it is and who leads: "Pair 3 of 5: winner ahead in 3 of 3, mean +21.0 points." """
    head = f"{fight.kind.capitalize()} {len(c.dots)} of {fight.planned}"
    why = f" ({fight.why.rstrip('.')})" if fight.why else ""
    lost = f", {counted(fight.left_out, fight.kind)} left out{why}" if fight.left_out else ""
    if fight.lost:
        lost = f", {counted(fight.lost, fight.kind)} with a training that was lost and counts as 0{why}"
    if not c.dots and (lost or why):
        return f"{head}{lost or why}."
    if not c.dots:
        return f"{counted(fight.planned, fight.kind)} to come."
    against = "" if c.other == BASELINE else " of the runner-up"
    return f"{head}: winner ahead{against} in {c.ahead} of {len(c.dots)}, mean {points(c.mean)} points{lost}."


def evidence(fight: Fight, c: Comparison) -> str:
    """What the watching found, or what the exact test did at the planned end."""
    w, units = c.watched, f"{fight.kind}s"
    if w.decided:
        return (
            f"Decided for the {w.decided if c.other == BASELINE or w.decided == WINNER else 'runner-up'} after "
            f"{w.decided_at} of {fight.planned} {units}; watching cost nothing: the threshold counts the looks."
        )
    if fight.over and not fight.early:
        return _final(fight, c)
    if w.hopeless and len(c.dots) + fight.left_out:
        saved = f" Ended there: {counted(fight.saved, fight.kind)} saved." if fight.saved else ""
        if not c.dots:
            return f"No {fight.kind} could be told, so no claim can be reached any more.{saved}"
        return f"With {c.ahead} of {len(c.dots)} won, no claim can be reached any more.{saved}"
    if w.hopeless:
        return f"{fight.planned} {units} are too few for a claim, however they turn out."
    if not w.live_alpha:
        return f"The exact test decides at the end of the {fight.planned} {units}; watching can't decide before."
    return f"e-value {evalue(w.e_winner)}; {evalue(w.e_needed)} decides." if c.dots else ""


def _final(fight: Fight, c: Comparison) -> str:
    """The exact test of all that was planned, by itself; the verdict weighs it with what else was named."""
    every = f"All {fight.planned} {fight.kind}s are there." if not fight.left_out else "No more are planned."
    if not c.dots:
        return every
    test = sign_flip([dot.difference for dot in c.dots])
    p = test.p_two_sided if c.watched.two_sided else test.p_greater
    needed = f"{c.watched.final_alpha:.3g}"
    found = f"{p_value(p)}, where {needed} or less is a finding"
    return f"{every} Exact test: {found}."


def evalue(value: float) -> str:
    """An e-value in few digits: 0.31, 8.1, 140."""
    if not np.isfinite(value):
        return "no e-value"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def won(c: Comparison) -> str:
    """The win rate with its interval: "86 % of picture pairs won (60 % to 96 %)"; "" where there is none."""
    if c.win_rate is None:
        return ""
    rate, low, high = c.win_rate
    return f"{percent(rate)} of picture pairs won ({percent(low)} to {percent(high)})"
