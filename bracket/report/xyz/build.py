"""Which picture of which trial stands in which cell."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bracket.domain import Sample
from bracket.errors import SettingsError
from bracket.report.xyz.axes import NOTHING, Axis, Drawn, Scale, Stage, longest, scale, stage_of, value_on

MOST = 12
"""Columns, rows or planes of one axis."""
MOST_IN_CELL = 9
FIRST_PROMPTS = 4
"""Prompts that are shown before a person chose any."""
_Key = tuple[str, int]
"""Prompt and sample seed."""
_Pictures = Sequence[tuple[Drawn, Sequence[Sample]]]
_Place = tuple[int, int, int]


@dataclass(frozen=True)
class Cell:
    """The best-scored of the `matched` trials of a place, with a picture or None for each of the grid's slots."""

    trial: Drawn
    samples: tuple[Sample | None, ...]
    matched: int = 1

    @property
    def score(self) -> float | None:
        """The trial's total score; lower is better."""
        return self.trial.score.total if self.trial.score else None

    @property
    def words(self) -> str:
        """ "best of 3"; "" where there was nothing to choose."""
        return f"best of {self.matched}" if self.matched > 1 else ""


@dataclass(frozen=True)
class Plane:
    """The grid of one value of Z ("" when Z is nothing): its cells row by row, None where no trial matches."""

    label: str
    cells: tuple[tuple[Cell | None, ...], ...]


@dataclass(frozen=True)
class Grid:
    """Cells by X (`columns`), Y (`rows`) and Z (`planes`).

    `slots` is the number of pictures a cell has room for: one for each prompt and sample seed that is on no axis, in
    the same order in every cell. `stage` says which trials these are, `notes` what is not shown.
    """

    x: Axis
    y: Axis
    z: Axis
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    planes: tuple[Plane, ...]
    slots: int
    stage: str
    notes: tuple[str, ...] = ()


def build(
    trials: Sequence[Drawn],
    x: Axis,
    y: Axis,
    z: Axis = NOTHING,
    *,
    stage: Stage | None = None,
    prompts: Sequence[str] | None = None,
    most: int = MOST,
) -> Grid:
    """Lays pictures out. Where no axis is the step, a trial shows its newest picture of each prompt and sample seed.

    Args:
        stage: the trials to show; None for the longest. With an axis of rounds all are shown.
        prompts: those to show, in this order; None for the first few.
        most: values of an axis. More of a number are put into so many ranges, more of the rest are thinned out evenly;
            prompts are never left out.

    Raises:
        SettingsError: there are no pictures, one thing is on two axes, or a prompt was not drawn in this stage.
    """
    axes = (x, y, z)
    _refuse_twice(axes)
    kinds = {axis.kind for axis in axes}
    stage = None if "round" in kinds else stage or longest(trials)
    shown = sorted((t for t in trials if t.samples and stage in (None, stage_of(t))), key=_rank)
    if not shown:
        raise SettingsError("there are no pictures to lay out", remedy="They come with the first trial that draws.")
    wanted = _wanted(shown, prompts)
    pictures = [(t, found) for t in shown if (found := _pictures(t, set(wanted), every_step="step" in kinds))]
    samples = [s for _, found in pictures for s in found]
    columns, rows, planes = scales = [scale(a, [t for t, _ in pictures], samples, wanted, most) for a in axes]
    slots = _slots(samples, wanted, kinds)
    cells = _cells(pictures, list(zip(axes, scales, strict=True)), slots)
    return Grid(
        x,
        y,
        z,
        columns.labels,
        rows.labels,
        tuple(_plane(z, label, i, cells, columns, rows) for i, label in enumerate(planes.labels)),
        max((len(c.samples) for c in cells.values()), default=1),
        stage.label if stage else "all rounds",
        (*(s.note for s in scales if s.note), *_cut(slots)),
    )


def _refuse_twice(axes: Sequence[Axis]) -> None:
    names = [a.name for a in axes if a.kind != "nothing"]
    if twice := next((n for n in names if names.count(n) > 1), ""):
        remedy = "Choose another thing, or nothing, for one of them."
        raise SettingsError(f"{twice} is on two axes of the grid", remedy=remedy)


def _rank(trial: Drawn) -> tuple[float, str]:
    """Best first; without a score last."""
    total = trial.score.total if trial.score else math.inf
    return (math.inf if math.isnan(total) else total), trial.id


def _wanted(shown: Iterable[Drawn], prompts: Sequence[str] | None) -> list[str]:
    drawn = list(dict.fromkeys(s.prompt for t in sorted(shown, key=lambda t: t.id) for s in t.samples))
    if prompts is None:
        return drawn[:FIRST_PROMPTS]
    if not prompts:
        raise SettingsError("a grid needs a prompt", remedy="Choose at least one.")
    if strange := next((p for p in prompts if p not in drawn), None):
        remedy = f"The first that was drawn: {drawn[0]!r}."
        raise SettingsError(f"no trial of this round drew the prompt {strange!r}", remedy=remedy)
    return list(dict.fromkeys(prompts))


def _pictures(trial: Drawn, prompts: Collection[str], *, every_step: bool) -> Sequence[Sample]:
    """A trial's pictures of these prompts; only the newest of each prompt and seed, unless steps are an axis."""
    found: dict[object, Sample] = {}
    for sample in trial.samples:
        if sample.prompt in prompts:
            key = (sample.prompt, sample.seed, sample.step if every_step else None)
            if key not in found or sample.step >= found[key].step:
                found[key] = sample
    return list(found.values())


def _slots(samples: Iterable[Sample], prompts: Sequence[str], kinds: Collection[str]) -> dict[_Key, int]:
    """Where in its cell each (prompt, seed) stands: counted among those that share the cell."""
    order = {p: i for i, p in enumerate(prompts)}
    keys = sorted({(s.prompt, s.seed) for s in samples}, key=lambda key: (order[key[0]], key[1]))
    taken: dict[tuple[str | None, int | None], int] = {}
    slots = {}
    for prompt, seed in keys:
        cell = (prompt if "prompt" in kinds else None, seed if "sample_seed" in kinds else None)
        slots[prompt, seed] = taken.get(cell, 0)
        taken[cell] = slots[prompt, seed] + 1
    return slots


def _cut(slots: Mapping[_Key, int]) -> list[str]:
    most = max(slots.values()) + 1
    return [f"{MOST_IN_CELL} of {most} pictures of a cell are shown."] if most > MOST_IN_CELL else []


@dataclass
class _Making:
    """A cell while trials come in, best first."""

    trial: Drawn
    last: Drawn
    matched: int = 1
    samples: dict[int, Sample] = field(default_factory=dict)

    def add(self, trial: Drawn, slot: int, sample: Sample) -> None:
        if trial is self.trial:
            self.samples[slot] = sample
        elif trial is not self.last:
            self.matched += 1
        self.last = trial


def _cells(pictures: _Pictures, axes: Sequence[tuple[Axis, Scale]], slots: Mapping[_Key, int]) -> dict[_Place, Cell]:
    made: dict[_Place, _Making] = {}
    room = min(max(slots.values()) + 1, MOST_IN_CELL)
    for trial, samples in pictures:
        for sample in samples:
            x, y, z = (s.places.get(value_on(axis, trial, sample)) for axis, s in axes)
            slot = slots[sample.prompt, sample.seed]
            if x is not None and y is not None and z is not None and slot < room:
                made.setdefault((x, y, z), _Making(trial, trial)).add(trial, slot, sample)
    return {place: Cell(m.trial, tuple(m.samples.get(i) for i in range(room)), m.matched) for place, m in made.items()}


def _plane(z: Axis, label: str, number: int, cells: Mapping[_Place, Cell], columns: Scale, rows: Scale) -> Plane:
    title = label if z.kind in ("prompt", "round", "nothing") else f"{z.title} {label}"
    found = (tuple(cells.get((x, y, number)) for x in range(len(columns.labels))) for y in range(len(rows.labels)))
    return Plane(title, tuple(found))
