"""Two objectives against each other: the configs that no other beats on both, and what choosing between them costs.

Only for searches that were asked for objectives (`search.objectives`); of their longest rung, as trials of different
length can't be compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from bracket.domain import Config, Round
from bracket.report.figures.drawing import Plot, Theme, legend, order_of
from bracket.report.summary import Ranked, Summary
from bracket.report.words import config_label, counted, judged, score
from bracket.report.writing.document import Block, Figure, Paragraph, Row, Section, Table, Tone
from bracket.stats.search.pareto import nondominated

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

_LONGEST = 32
"""Characters of a label inside the plot; the table has it whole."""
_SIDES = (
    (1, 1), (1, 0), (0, 1), (-1, -1), (-1, 0), (0, -1), (-1, 1), (1, -1),
    (0, 2.5), (0, -2.5), (1, 2.5), (-1, 2.5), (1, -2.5), (-1, -2.5),
)  # fmt: skip
"""Where a label may stand beside its point, the best place first."""
_GAP = 7
"""Points between a point and its label."""
_PARTS = 60
"""Places at which a stretch of the front's line is kept free of labels."""


@dataclass(frozen=True)
class Placed:
    """One config with its values on the objectives, higher is better."""

    config: Config
    label: str
    values: tuple[float, ...]
    total: float
    on_front: bool


def objectives_of(summary: Summary) -> tuple[str, ...]:
    """The judge's axes that the search looked for; empty for a search by score alone."""
    search = summary.settings.get("search")
    found = search.get("objectives") if isinstance(search, Mapping) else None
    return tuple(map(str, found)) if isinstance(found, list | tuple) and len(found) > 1 else ()


def placed(summary: Summary) -> list[Placed]:
    """The configs of the search's longest rung that were judged on every objective, in the order of their scores."""
    objectives, rows = objectives_of(summary), summary.rounds.get(Round.SEARCH, ())
    found = [(row, values) for row in rows if (values := _values(row, objectives))] if objectives else []
    longest = max((row.results[0].trial.rung for row, _ in found), default=0)
    found = [(row, values) for row, values in found if row.results[0].trial.rung == longest]
    front = nondominated([values for _, values in found])
    return [
        Placed(row.config, row.label, values, row.total or 0.0, i in front) for i, (row, values) in enumerate(found)
    ]


def _values(row: Ranked, objectives: Sequence[str]) -> tuple[float, ...]:
    axes = row.results[0].axes
    known = row.total is not None and all(name in axes for name in objectives)
    return tuple(axes[name] for name in objectives) if known else ()


def section(summary: Summary, plots: Sequence[Plot]) -> Section:
    """The trade-off in a sentence, the plot, and the front as a table."""
    points, names = placed(summary), [axis_title(name) for name in objectives_of(summary)]
    if len(points) < 2:
        return Section("front", "The trade-off", ())
    blocks: list[Block] = [Paragraph(sentence(summary, points, names))]
    blocks += [plot.figure for plot in plots if plot.kind == "pareto"]
    rows = [
        Row((p.label, *(judged(v) for v in p.values), score(p.total)), _tone(summary, p))
        for p in sorted((p for p in points if p.on_front), key=lambda p: p.values, reverse=True)
    ]
    columns = ("On the front", *names, "Score")
    blocks.append(Table(columns, tuple(rows), frozenset(range(1, len(columns)))))
    return Section("front", f"The trade-off of {' and '.join(names)}", tuple(blocks))


def _tone(summary: Summary, point: Placed) -> Tone:
    tones: tuple[Tone, ...] = ("", "baseline", "winner")
    return tones[order_of(summary, point.config)]


def sentence(summary: Summary, points: Sequence[Placed], names: Sequence[str]) -> str:
    """What there is to choose between, in words."""
    front = [p for p in points if p.on_front]
    most, least = max(front, key=lambda p: p.values), min(front, key=lambda p: p.values)
    if len({p.values for p in front}) == 1:
        text = f"There is nothing to trade: {most.label} is best on {' and on '.join(names)}."
    else:
        text = f"{len(front)} of {counted(len(points), 'config')} stand on the front: none of the others is as good as "
        text += f"one of them on {' and on '.join(names)} and better on either."
        if len(names) == 2:
            up, down = most.values[0] - least.values[0], least.values[1] - most.values[1]
            text += f" From {least.label} to {most.label} {names[0]} rises by {judged(up)}, and {names[1]}"
            text += f" falls by {judged(down)} points."
    winner = next((p for p in points if order_of(summary, p.config) == 2), None)
    if winner and not winner.on_front:
        text += " The winner is not on the front: the finals, longer and with more seeds, chose it by its score."
    return text


def axis_title(name: str) -> str:
    """A judge's axis in words; of a panel, with the member: "likeness (clip)"."""
    member, _, axis = name.rpartition(".")
    return axis.replace("_", " ") + (f" ({member})" if member else "")


def plot(summary: Summary) -> Plot | None:
    """The first two objectives against each other; None without two configs that were judged on them."""
    points = [replace(p, values=tuple(100 * v for v in p.values)) for p in placed(summary)]
    names = [axis_title(name) for name in objectives_of(summary)]
    if len(points) < 2:
        return None
    front = sorted((p for p in points if p.on_front), key=lambda p: p.values)
    varying = {n for p in front for n in p.config if len({str(q.config.get(n)) for q in points}) > 1}

    def draw(axes: Axes, theme: Theme) -> None:
        axes.grid(True, color=theme.grid, linewidth=0.7)
        if len(names) == 2:
            x, y = zip(*(p.values for p in front), strict=True)
            axes.plot(x, y, color=theme.ink, linewidth=1.2, alpha=0.7, label="front", zorder=2)
        for point in points:
            _mark(axes, theme, order_of(summary, point.config), point)
        axes.margins(0.14, 0.12)
        axes.set_xlabel(f"{names[0]}, judged")
        axes.set_ylabel(f"{names[1]}, judged")
        legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)
        named = [p for p in points if p.on_front or order_of(summary, p.config)]
        line = front if len(names) == 2 else []
        _label(axes, theme, [(p, _short(config_label(p.config, varying))) for p in named], points, line)

    caption = (
        f"Search, {counted(len(points), 'config')} of one length; means of the judge over each config's pictures. Pale "
        "ones are beaten on every objective by another."
    )
    if len(names) > 2:
        caption += f" The front counts {', '.join(names[2:])} too, which the picture has no room for."
    figure = Figure("front", f"Every config of the search by {names[0]} and {names[1]}", caption)
    return Plot("pareto", figure, (7.4, 4.2), draw)


def _mark(axes: Axes, theme: Theme, order: int, point: Placed) -> None:
    colour, marker, label = (
        (theme.ink if point.on_front else theme.quiet, "o", "beaten by none" if point.on_front else "beaten"),
        (theme.strong, "s", "baseline"),
        (theme.accent, "D", "winner"),
    )[order]
    axes.plot(*point.values[:2], marker, color=colour, markersize=8 if order else 5.5, label=label,
              alpha=1.0 if order or point.on_front else 0.4, zorder=3 + order, clip_on=False)  # fmt: skip


def _short(label: str) -> str:
    if len(label) <= _LONGEST:
        return label
    whole = label[: _LONGEST - 2].rpartition(",")[0]
    return f"{whole}, …" if whole else label[: _LONGEST - 1] + "…"


def _label(
    axes: Axes, theme: Theme, named: Sequence[tuple[Placed, str]], points: Sequence[Placed], line: Sequence[Placed]
) -> None:
    """Write each label where it covers no point, no other label and not the front's line; what finds no room is left
    to the table."""
    figure: Any = axes.figure
    figure.draw_without_rendering()  # lays the figure out, so that places are what they will be
    renderer, scale = figure.canvas.get_renderer(), figure.dpi / 72
    dots = [axes.transData.transform(p.values[:2]) for p in points]
    ends = [axes.transData.transform(p.values[:2]) for p in line]
    path = [a + (b - a) * share for a, b in pairwise(ends) for share in np.linspace(0, 1, _PARTS)]
    taken: list[Bbox] = []
    for point, text in named:
        for right, up in _SIDES:
            note = axes.annotate(
                text, (point.values[0], point.values[1]), (right * _GAP, up * _GAP), textcoords="offset points",
                fontsize=7.5, color=theme.ink, ha=("center", "left", "right")[right], va=_upright(up),
            )  # fmt: skip
            note.set_in_layout(False)
            box = note.get_window_extent(renderer).padded(scale)
            near = box.padded(3 * scale)
            free = not any(near.contains(*dot) for dot in dots) and not any(box.overlaps(b) for b in taken)
            free = free and not any(box.contains(*dot) for dot in path)
            if free and _inside(box, axes.bbox):
                taken.append(box)
                break
            note.remove()


def _upright(up: float) -> str:
    return "bottom" if up > 0 else "top" if up < 0 else "center"


def _inside(box: Bbox, whole: Bbox) -> bool:
    return bool(whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0 and box.y1 <= whole.y1)
