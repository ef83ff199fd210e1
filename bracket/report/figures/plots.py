"""The report's plots, drawn twice: for light and for dark paper. Loss curves are here, one plot a round; what mattered
is in `maps`, the duels are in `duel`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Outcome, Round, TrialResult
from bracket.report.figures import duel as figures_duel
from bracket.report.figures import maps, pareto
from bracket.report.figures.drawing import Plot, Theme, legend, order_of
from bracket.report.material.searched import Searched, look
from bracket.report.material.tables import ROUND_NAMES
from bracket.report.summary import Ranked, Summary
from bracket.report.words import counted
from bracket.report.writing.document import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Line = tuple[NDArray[np.int64], NDArray[np.float64]]
_SMOOTHING = 0.1
_POINTS = 500
_GROWN = 1.3
"""A curve that ends this many times above its start doesn't set the scale."""


def plots(summary: Summary, searched: Searched | None = None) -> list[Plot]:
    """Every plot that this session has the data for, in reading order. `searched` saves working it out again."""
    found = [_loss_plot(summary, name, rows) for name, rows in summary.rounds.items()]
    found += [pareto.plot(summary), *maps.plots(summary, searched or look(summary)), *figures_duel.plots(summary)]
    return [plot for plot in found if plot]


# Loss curves


@dataclass(frozen=True)
class _Curve:
    result: TrialResult
    ranked: Ranked
    train: Line | None
    validation: Line | None

    def lines(self) -> list[NDArray[np.float64]]:
        """The finite values of what is drawn."""
        drawn = (self.validation, _smooth(self.train) if self.train else None)
        return [values for line in drawn if line and (values := line[1][np.isfinite(line[1])]).size]


def _loss_plot(summary: Summary, name: Round, rows: Sequence[Ranked]) -> Plot | None:
    curves = [curve for ranked in rows for result in ranked.results if (curve := _read(ranked, result))]
    if not curves:
        return None

    def draw(axes: Axes, theme: Theme) -> None:
        for curve in sorted(curves, key=lambda c: order_of(summary, c.ranked.config)):
            _draw_curve(axes, theme, summary, curve)
        _limit(axes, curves)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.margins(x=0.01)
        legend(axes)

    caption = (
        f"{ROUND_NAMES[name]}, {counted(len(curves), 'trial')}. Strong with dots: loss on held-out pictures, fixed "
        "noise. Faint: training loss, smoothed; it can't be compared between settings."
    )
    if any(_grows(line) for curve in curves for line in curve.lines()):
        caption += " Curves that leave at the top belong to trials whose loss grew."
    figure = Figure(f"loss-{name.value}", f"Loss curves of the {name.value} round", caption)
    return Plot("loss", figure, (7.4, 3.1), draw)


def _read(ranked: Ranked, result: TrialResult) -> _Curve | None:
    from bracket.runner.reading.traces import open_trace, read_trace

    tags = open_trace(read_trace(result.trial.folder)).read_all()
    train, validation = (tags.get(tag) for tag in ("loss/train", "loss/validation"))
    return _Curve(result, ranked, train, validation) if train or validation else None


def _draw_curve(axes: Axes, theme: Theme, summary: Summary, curve: _Curve) -> None:
    failed = curve.result.outcome is not Outcome.OK
    order = order_of(summary, curve.ranked.config)
    colour = theme.bad if failed else (theme.quiet, theme.strong, theme.accent)[order]
    label = "failed" if failed else ("other settings", "baseline", "winner")[order]
    strength = 1.0 if order else 0.55
    if curve.train:
        x, y = _smooth(curve.train)
        axes.plot(x, y, color=colour, alpha=0.4 * strength, linewidth=1)
    if curve.validation:
        x, y = curve.validation
        axes.plot(
            x, y, color=colour, alpha=strength, linewidth=2 if order else 1.2, marker="o", markersize=3,
            linestyle="--" if order == 1 else "-", label=label,
        )  # fmt: skip


def _smooth(line: Line) -> Line:
    """Exponential moving average without the usual pull towards the first value, thinned for drawing."""
    steps, values = line
    smoothed, weight, total = np.empty(values.size), 0.0, 0.0
    for i, value in enumerate(values):
        if np.isfinite(value):
            weight, total = 1 + (1 - _SMOOTHING) * weight, value + (1 - _SMOOTHING) * total
        smoothed[i] = total / weight if weight else np.nan
    keep = np.unique(np.linspace(0, max(values.size - 1, 0), min(values.size, _POINTS)).astype(int))
    return steps[keep], smoothed[keep]


def _grows(values: NDArray[np.float64]) -> bool:
    return bool(values[-1] > _GROWN * values[0])


def _limit(axes: Axes, curves: Sequence[_Curve]) -> None:
    """Keeps trials whose loss grows from pressing all the others flat: they leave at the top."""
    seen = [line for curve in curves for line in curve.lines()]
    if seen:
        values = np.concatenate([line for line in seen if not _grows(line)] or seen)
        low, high = float(values.min()), float(np.quantile(values, 0.99))
        room = max(high - low, 1e-3 * abs(high), 1e-9)
        axes.set_ylim(low - 0.08 * room, high + 0.25 * room)
