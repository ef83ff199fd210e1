"""How far a duel is: which units count, and whether it is over. Reads; runs nothing.

A unit is a prompt for the duel of the checkpoints (all those of a theme, where prompts share one), and a fresh training
seed for that of the settings. Units are looked at in the plan's order, one after the other, whatever order they are
made in; the first at which every comparison is decided or hopeless is the last that counts. So what counts follows from
the judgements alone, also on a resume and in the certificate.

A training that melted scores 0, and so does one that was lost (a crash, no memory, pictures that can't be judged): what
crashes may be what would have scored low or high, so to leave it out would choose. By the plan's earlier editions it
left its seed out, and one unit less was planned. A training that was stopped because its duel was over is not lost but
untold: that it is missing does follow from the scores.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bracket.domain import Judgement, Outcome, Prompt, TrialResult, mean
from bracket.errors import JudgeError
from bracket.files import MOST_BYTES, whole_lines
from bracket.judges import judgement_from_json
from bracket.reading import read_bytes
from bracket.report.summary import Duel, Pair, Plain
from bracket.search.rungs import key
from bracket.session.duel.plan import BASE, BASELINE, FOLDER, RUNNER_UP, WINNER, DuelPlan
from bracket.session.evaluate import JUDGEMENTS
from bracket.stats.duel.rates import by_theme
from bracket.stats.duel.sequential import INVERTING, Watched, watch
from bracket.stats.duel.signflip import Floats

log = logging.getLogger(__name__)
OVER = "the duel was over before this training ended"
"""Why a training was stopped that the duel no longer needed."""
_KEPT = 2048
"""Looks kept in memory."""

Unit = Mapping[str, float]
"""One unit's difference, winner minus the other, by the other's name; empty for a unit that can't be told."""


@dataclass(frozen=True)
class Course:
    """How far a duel is.

    Attributes:
        planned: units the plan has.
        counted: places of the units that count, in the plan's order; differences: theirs, by whom the winner meets.
        left_out: places up to there of units that can't be told.
        watched: how each comparison stands.
        over: nothing more is needed: each comparison is decided or hopeless, or all that was planned is there.
    """

    planned: int
    counted: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    differences: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    watched: Mapping[str, Watched] = field(default_factory=dict)
    over: bool = False

    @property
    def early(self) -> bool:
        """It ended before its planned last unit."""
        return self.over and len(self.counted) + len(self.left_out) < self.planned


def follow(plan: DuelPlan, units: Sequence[Unit | None], *, two_sided: bool, against: Sequence[str] = ()) -> Course:
    """Looks at units in their order, up to the first that is not there yet (None) or the one that ends the duel.

    Args:
        units: all that are planned.
        two_sided: whether a claim for the other arm was named beforehand as well.
        against: whom the winner meets; by default everybody the plan names.
    """
    names = list(against) or plan.others
    told: dict[str, list[float]] = {name: [] for name in names}
    counted: list[int] = []
    left: list[int] = []
    watched = {name: _watch(plan, (), len(units), two_sided) for name in names}
    may_end = any(not w.hopeless for w in watched.values())
    over = not units
    for place, unit in enumerate(units):
        if unit is None:
            break
        (counted if unit else left).append(place)
        for name in names:
            if name in unit:
                told[name].append(unit[name])
            watched[name] = _watch(plan, tuple(told[name]), len(units) - len(left), two_sided)
        over = place + 1 == len(units) or (may_end and all(w.ended for w in watched.values()))
        if over:
            break
    differences = {name: tuple(values) for name, values in told.items()}
    return Course(len(units), tuple(counted), tuple(left), differences, watched, over)


def _watch(plan: DuelPlan, differences: tuple[float, ...], planned: int, two_sided: bool) -> Watched:
    return _watched(differences, planned, two_sided, plan.alpha, len(plan.others), plan.live_share, plan.edition)


@functools.lru_cache(maxsize=_KEPT)
def _watched(
    differences: tuple[float, ...],
    planned: int,
    two_sided: bool,
    alpha: float,
    comparisons: int,
    live_share: float,
    edition: int,
) -> Watched:
    """One look, kept: a page that polls asks for the same again and again."""
    return watch(
        differences,
        planned=planned,
        two_sided=two_sided,
        alpha=alpha,
        comparisons=comparisons,
        live_share=live_share,
        edition=edition,
    )


# The checkpoints: units are prompts.


def arm_judgements(folder: Path) -> tuple[Judgement, ...]:
    """What the judge said of the pictures in a folder; what is damaged of it is left out, which the log says."""
    return _judgements(folder)[0]


def _judgements(folder: Path) -> tuple[tuple[Judgement, ...], bool]:
    """What the judge said of the pictures in a folder, and whether every line of it can be read."""
    lines = whole_lines(folder / JUDGEMENTS)
    found = []
    for line in lines:
        try:
            found.append(judgement_from_json(line, folder))
        except JudgeError as error:
            log.warning("%s", error)
    with contextlib.suppress(OSError, ValueError):
        return tuple(found), len(read_bytes(folder / JUDGEMENTS, MOST_BYTES).splitlines()) == len(found)
    return tuple(found), True


def read_arms(folder: Path, plan: DuelPlan) -> dict[str, tuple[Judgement, ...]]:
    """The judgements of each arm's pictures in a session's folder; a runner-up that drew nothing is left out."""
    arms = {name: arm_judgements(folder / FOLDER / name) for name in plan.arms}
    return {name: found for name, found in arms.items() if found or name != RUNNER_UP}


def course_of_prompts(plan: DuelPlan, arms: Mapping[str, Sequence[Judgement]]) -> Course:
    """How far the duel of the checkpoints is.

    Args:
        arms: judgements by arm, in any order; those of a prompt count once every arm has all of its pictures.
    """
    judged = {name: {(j.sample.prompt, j.sample.seed) for j in found} for name, found in arms.items()}
    lacking = {p[0] for p in plan.pictures if not all(p in have for have in judged.values())}
    planned = plan.units
    whole = [place for place, texts in enumerate(planned) if lacking.isdisjoint(texts)]
    texts = {text for place in whole for text in planned[place]}
    pictures = [Prompt(text, seed) for text, seed in plan.pictures if text in texts]
    scores = {name: score_matrix(found, pictures, plan.themes) for name, found in arms.items()} if pictures else {}
    others = [name for name in arms if name != WINNER]
    units: list[Unit | None] = [None] * len(planned)
    for row, place in enumerate(whole):
        units[place] = {name: float((scores[WINNER] - scores[name])[row].mean()) for name in others}
    return follow(plan, units, two_sided=True, against=others)


def score_matrix(
    judgements: Sequence[Judgement], prompts: Sequence[Prompt], themes: Mapping[str, str] | None = None
) -> Floats:
    """Judged scores as (texts, sample seeds per text), in the prompts' order; with `themes` see `rates.by_theme`."""
    found = {(j.sample.prompt, j.sample.seed): j.score for j in judgements}
    rows: dict[str, list[float]] = {}
    for prompt in prompts:
        rows.setdefault(prompt.text, []).append(found[prompt.text, prompt.seed])
    return by_theme(np.array(list(rows.values()), dtype=np.float64), list(rows), themes or {})


def duel_of(plan: DuelPlan, arms: Mapping[str, Sequence[Judgement]]) -> Duel | None:
    """The judgements that count, in the plan's order; None while there are none."""
    units = plan.units
    counted = {text for place in course_of_prompts(plan, arms).counted for text in units[place]}
    pictures = [(text, seed) for text, seed in plan.pictures if text in counted]
    if not pictures:
        return None
    known = {name: {(j.sample.prompt, j.sample.seed): j for j in found} for name, found in arms.items()}
    chosen = {name: tuple(found[picture] for picture in pictures) for name, found in known.items()}
    return Duel(chosen[WINNER], chosen[BASELINE], chosen.get(RUNNER_UP, ()))


def read_plain(folder: Path, plan: DuelPlan) -> Plain | None:
    """What shows how much is kept, judged, in a session's folder; None while some of it is missing."""
    arms = (arm_judgements(folder / FOLDER / name) if plan.plain else () for name in (WINNER, BASELINE, BASE))
    known = [{(j.sample.prompt, j.sample.seed): j for j in found} for found in arms]
    if not plan.plain or any(picture not in found for found in known for picture in plan.plain):
        return None
    return Plain(*(tuple(found[picture] for picture in plan.plain) for found in known))


# The settings: units are fresh training seeds.


def trial_judgements(result: TrialResult) -> list[Judgement]:
    """What the judge said of a trial's pictures, from its folder."""
    return list(arm_judgements(result.trial.folder))


def scores_by_seed(plan: DuelPlan, results: Sequence[TrialResult]) -> dict[int, dict[str, float | None]]:
    """Each told arm's mean judged score by training seed: 0 where it melted, None where it can't be told."""
    found: dict[int, dict[str, float | None]] = {}
    for result in results:
        t = result.trial
        if t.origin not in plan.arms or key(t.config) != key(plan.arms[t.origin]) or is_over(result):
            continue
        score: float | None = None
        if result.outcome is Outcome.DIVERGED:
            score = 0.0
        elif result.score is not None:
            judged, whole = _judgements(t.folder)
            if not judged or not whole:  # deleted or damaged: untold, for to leave the seed out might be a choice
                continue
            score = mean([j.score for j in judged])
        found.setdefault(t.seed, {})[t.origin] = score
    return found


def is_over(result: TrialResult) -> bool:
    """Whether a training was stopped because its duel was over."""
    return result.outcome is Outcome.STOPPED and result.cause == OVER


def course_of_pairs(plan: DuelPlan, scores: Mapping[int, Mapping[str, float | None]]) -> Course:
    """How far the duel of the settings is.

    Args:
        scores: see `scores_by_seed`.
    """
    return follow(plan, [_unit(plan, scores.get(seed, {})) for seed in plan.training_seeds], two_sided=False)


def _unit(plan: DuelPlan, arms: Mapping[str, float | None]) -> Unit | None:
    """By the earlier editions a seed is left out as soon as the winner or the baseline is lost on it; the runner-up
    alone may be missing."""
    if plan.edition >= INVERTING:
        if any(name not in arms for name in plan.arms):
            return None
        return {name: (arms[WINNER] or 0.0) - (arms[name] or 0.0) for name in plan.others}
    if any(name in arms and arms[name] is None for name in (WINNER, BASELINE)):
        return {}
    ours = arms.get(WINNER)
    if ours is None or any(name not in arms for name in plan.arms):
        return None
    return {name: ours - theirs for name in plan.arms if name != WINNER and (theirs := arms[name]) is not None}


def pairs_of(
    plan: DuelPlan, scores: Mapping[int, Mapping[str, float | None]]
) -> tuple[tuple[Pair, ...], tuple[int, ...]]:
    """The pairs that count, and the seeds that were left out up to there; both in the plan's order."""
    course = course_of_pairs(plan, scores)
    pairs = []
    for seed in (plan.training_seeds[place] for place in course.counted):
        counting = plan.arms if plan.edition >= INVERTING else ()
        lost = tuple(name for name in counting if scores[seed][name] is None)
        arms = {**scores[seed], **dict.fromkeys(lost, 0.0)}
        ours, theirs = arms[WINNER], arms[BASELINE]
        assert ours is not None and theirs is not None, "a unit that counts has both"
        pairs.append(Pair(seed, ours, theirs, arms.get(RUNNER_UP), lost))
    return tuple(pairs), tuple(plan.training_seeds[place] for place in course.left_out)
