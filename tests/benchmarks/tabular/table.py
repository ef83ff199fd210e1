"""The recorded trainings as arrays, and a simulator that replays trials from them in no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Config, Outcome, Round, Trial, TrialResult, Wanted
from bracket.search.enough import encoded
from bracket.search.rungs import key
from bracket.session.asked.settings import ScoreSettings
from bracket.session.score import at_length, combine_parts
from bracket.stats.melting import Signs
from bracket.stats.search.process import fit
from tests.benchmarks.tabular.grid import CONCEPTS, Plan, Point

PROMPTS = 12
Floats = NDArray[np.float32]
_RATE = "learning_rate"
_NORMAL = 100.0
"""Validation losses above it say no more than that it is melted; float16 ends not far above."""


@dataclass(frozen=True)
class Table:
    """One concept's trainings.

    Attributes:
        plan: its space, with the configs that the arrays hold.
        score, truth: of every picture, by the judge and by the checker, 0..1; (seeds, configs, rungs, prompts). NaN
            from where a training diverged. The easy table's are of the judge's formula 1, to which a lone picture's
            diversity was its adherence once more.
        loss: validation loss (seeds, configs, rungs).
        made: whether the training is there (seeds, configs).
    """

    plan: Plan
    score: Floats
    truth: Floats
    loss: Floats
    made: Floats

    @property
    def final(self) -> Floats:
        """How good a config really is (configs,): the checker's mean at full length, over all seeds. A melted training
        counts as 0."""
        return np.asarray(np.nan_to_num(self.truth[:, :, -1], nan=0.0).mean(axis=(0, -1)), np.float32)

    @property
    def best(self) -> int:
        """The number of the best config."""
        return int(self.final.argmax())

    @property
    def base_loss(self) -> float:
        """The base's own validation loss, as nearly as the table has it: of the lowest learning rate's first rung."""
        rates = np.array([float(c[_RATE]) for c in self.plan.configs])
        return float(self.loss[:, rates == rates.min(), 0].mean())

    def only(self, seeds: Floats, configs: Floats) -> Table:
        """The part of it that these masks let through."""
        plan = replace(self.plan, configs=tuple(c for c, held in zip(self.plan.configs, configs, strict=True) if held))
        return Table(plan, *(getattr(self, name)[seeds][:, configs] for name in _NAMES))

    @property
    def seeds(self) -> int:
        return len(self.score)


@cache
def load(plan: Plan, concept: str) -> Table:
    """The table of one concept: the training seeds with which most of the configs were trained, and of the configs
    those that were trained with all of these."""
    whole = read(plan, concept)
    seeds = whole.made.mean(axis=1) > 0.5 * whole.made.mean(axis=1).max()
    return whole.only(seeds, whole.made[seeds].all(axis=0) & seeds.any())


def edge(table: Table) -> Table:
    """A world beside it whose best config lies at the end of a range: no learning rate above the best one's."""
    rates = np.array([float(c[_RATE]) for c in table.plan.configs])
    kept = rates <= rates[table.best]
    knobs = tuple(replace(k, high=float(rates[kept].max())) if k.name == _RATE else k for k in table.plan.knobs)
    cut = table.only(np.ones(table.seeds, bool), kept)
    return replace(cut, plan=replace(cut.plan, knobs=knobs))


def usual(table: Table) -> Table:
    """A world beside it in which the baseline is the best config already."""
    return replace(table, plan=replace(table.plan, baseline=table.plan.configs[table.best]))


def misleading(table: Table) -> Table:
    """A made-up world beside it: among the good half the lower the loss, the worse the pictures, at every length; and
    early pictures show already what late ones do, as else nobody could know."""
    loss, late = table.loss.copy(), table.score[:, :, -1].mean(axis=-1)
    for seed in range(table.seeds):
        order = np.argsort(-np.nan_to_num(late[seed], nan=-1.0), kind="stable")
        good = order[: order.size // 2]
        loss[seed, good] = np.sort(table.loss[seed, good], axis=0)[::-1]
    held = np.isfinite(table.score)
    score = np.where(held, np.nan_to_num(table.score[:, :, -1:], nan=0.0), np.nan).astype(np.float32)
    return replace(table, score=score, loss=loss)


WORLDS: Mapping[str, Callable[[Table], Table]] = {
    "recorded": lambda table: table,
    "misleading": misleading,
    "edge": edge,
    "usual": usual,
}


def regression_error(table: Table, folds: int = 10) -> tuple[float, float]:
    """How far a regression on the other configs would be off a config's quality, and how far a single training is, each
    as the root of the mean square."""
    x = np.array([encoded(c, table.plan.knobs) for c in table.plan.configs])
    y, off = table.final.astype(float), []
    for left in np.arange(len(y)) % folds == np.arange(folds)[:, None]:
        off.append(y[left] - fit(x[~left], y[~left]).predict(x[left])[0])
    single = np.nan_to_num(table.truth[:, :, -1], nan=0.0).mean(axis=-1)
    return float(np.sqrt((np.concatenate(off) ** 2).mean())), float(np.sqrt(single.var(axis=0, ddof=1).mean()))


def data_file(plan: Plan) -> Path:
    return Path(__file__).with_name(f"{plan.name}.npz")


@cache
def read(plan: Plan, concept: str, path: Path | None = None) -> Table:
    """All that the data file holds of one concept; nothing where there is no file."""
    path = path or data_file(plan)
    if not path.exists():
        return _empty(plan)
    whole = (plan.seeds, len(plan.configs))
    with np.load(path) as data:
        arrays = [data[f"{concept}_{name}"].astype(np.float32) for name in _NAMES]
    # A full grid's arrays have an axis for each knob.
    return Table(plan, *(a.reshape(*whole, *s) for a, s in zip(arrays, _shapes(plan), strict=True)))


_NAMES = ("score", "truth", "loss", "made")


def _shapes(plan: Plan) -> list[tuple[int, ...]]:
    """Of each array, without seeds and configs."""
    rungs = len(plan.ladder)
    return [(rungs, PROMPTS), (rungs, PROMPTS), (rungs,), ()]


def _empty(plan: Plan) -> Table:
    whole = (plan.seeds, len(plan.configs))
    blank = [np.full((*whole, *shape), np.nan, np.float32) for shape in _shapes(plan)[:-1]]
    return Table(plan, *blank, np.zeros(whole, np.float32))


def made(plan: Plan, point: Point) -> bool:
    """Whether the data file holds this training."""
    return bool(read(plan, point.concept).made[point.seed, point.number])


def pack(plan: Plan, rows: Sequence[Mapping[str, Any]], path: Path | None = None) -> str:
    """Add the rows that `make` left to the data file; says how much of the plan it covers."""
    path = path or data_file(plan)
    tables = {concept: read(plan, concept, path) for concept in CONCEPTS}
    tables = {concept: replace(t, **{n: getattr(t, n).copy() for n in _NAMES}) for concept, t in tables.items()}
    for row in rows:
        _fill(tables[row["concept"]], row)
    arrays = {f"{c}_{n}": getattr(t, n).astype(np.float16) for c, t in tables.items() for n in _NAMES}
    np.savez_compressed(path, **arrays)
    made, every = (sum(int(f(t.made)) for t in tables.values()) for f in (np.sum, np.size))
    return f"{made} of {every} trainings, {path.stat().st_size:,} bytes"


def _fill(table: Table, row: Mapping[str, Any]) -> None:
    place = (row["seed"], row["number"])
    if dict(table.plan.configs[row["number"]]) != row["config"]:
        raise ValueError(f"{row['name']} was made by another plan")
    table.made[place] = 1.0
    for rung in row["rungs"]:
        number = table.plan.ladder.index(rung["steps"])
        table.score[(*place, number)] = rung["score"]
        table.truth[(*place, number)] = rung["truth"]
        table.loss[(*place, number)] = min(rung["loss"], _NORMAL)


class Simulator:
    """An executor, trainer and judge in one: trials wanted become trials that ended, from the table.

    Args:
        seeds: the table's training seed behind each of a session's, by the session's own number.
        score: how judged samples and validation loss count, as in a real session.
    """

    def __init__(self, table: Table, seeds: Mapping[int, int], score: ScoreSettings) -> None:
        self.table, self._seeds, self.score = table, seeds, score
        self._base_loss = table.base_loss
        self.steps = 0
        """Training steps spent so far."""
        self.results: list[TrialResult] = []
        self._references: dict[tuple[Round, int, int], float | None] = {}
        self._given: dict[str, int] = {}
        """The recorded config that stands for each proposed one."""

    def place(self, config: Config) -> int:
        """The number of the recorded config that is trained for this one."""
        plan, name = self.table.plan, key(config)
        if not plan.alone:
            return plan.nearest(config)
        if name not in self._given:
            number = plan.nearest(config, set(self._given.values()))
            self._given |= {name: number, key(plan.configs[number]): number}
        return self._given[name]

    def run(self, wanted: Sequence[Wanted]) -> list[TrialResult]:
        """Train, look and score. A trial that continues another pays only for its further steps."""
        for w in wanted:
            self.results.append(self._end(w))
        return self.results[-len(wanted) :] if wanted else []

    def _end(self, wanted: Wanted) -> TrialResult:
        name = f"{wanted.round.value}-{wanted.rung}-{len(self.results):05d}"
        folder = Path(name)
        before = next((r for r in self.results if r.trial.id == wanted.continues), None) if wanted.continues else None
        self.steps += wanted.steps - (before.trial.steps if before else 0)
        w, plan, number = wanted, self.table.plan, self.place(wanted.config)
        config = plan.configs[number] if plan.alone else w.config
        trial = Trial(name, w.round, w.origin, config, w.seed, w.steps, folder, w.schedule, rung=w.rung)
        place = (self._seeds[wanted.seed], number, plan.ladder.index(wanted.steps))
        judged, loss = float(self.table.score[place].mean()), float(self.table.loss[place])
        # No training of the table ended in NaN; those that melted are told as a session tells them, by the loss.
        melted = not np.isfinite(judged) or bool(Signs(loss=loss, base_loss=self._base_loss).told())
        group = (w.round, w.rung, w.seed)
        if wanted.origin == "baseline":
            self._references[group] = None if melted else loss
        if melted:
            return TrialResult(trial, Outcome.DIVERGED)
        weights = at_length(self.score, w.steps, plan.full)
        full = self.score.sample_weight
        score = combine_parts(weights, 1.0 - judged, loss, self._references.get(group), full)
        return TrialResult(trial, Outcome.OK, score=score, validation_loss=loss, checkpoint=folder)
