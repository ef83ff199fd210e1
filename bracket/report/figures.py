"""The report's plots, each of one round, drawn twice: for light and for dark paper.

matplotlib is imported only when something is drawn, and only its Agg canvas, so no display is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bracket.domain import Outcome, Round, TrialResult
from bracket.files import written_whole
from bracket.report.document import Figure
from bracket.report.pictures import learning_rate_knob
from bracket.report.scores import paired_scores
from bracket.report.summary import Ranked, Summary
from bracket.report.tables import ROUND_NAMES, same
from bracket.report.words import counted, knob_title, knob_value, percent
from bracket.stats.curves import failure_knee, lr_curve
from bracket.stats.importance import KnobImportance, knob_importance

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["loss", "learning_rate", "importance", "duel"]
Line = tuple[NDArray[np.int64], NDArray[np.float64]]
_FONTS = ("Inter", "Segoe UI", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")
_SMOOTHING = 0.1
_POINTS = 500
_GROWN = 1.3
"""A curve that ends this many times above its start doesn't set the scale."""


@dataclass(frozen=True)
class Theme:
    """Colours of one paper. `accent` is the winner's, `strong` the baseline's, `bad` only for failures."""

    suffix: str
    paper: str
    ink: str
    quiet: str
    grid: str
    accent: str
    strong: str
    bad: str


LIGHT = Theme("", "#ffffff", "#1c1e21", "#667080", "#e3e6ea", "#2563c9", "#3d434b", "#c0392b")
DARK = Theme("-dark", "#16181b", "#e8eaed", "#98a1ad", "#2c3036", "#7aa7ff", "#c3c9d1", "#ef7f73")


@dataclass(frozen=True)
class Plot:
    """A figure that can be drawn: where it belongs, its words, its size in inches, and how."""

    kind: Kind
    figure: Figure
    size: tuple[float, float]
    draw: Callable[[Axes, Theme], None]


def plots(summary: Summary) -> list[Plot]:
    """Every plot that this session has the data for, in reading order."""
    found: list[Plot | None] = []
    for name, rows in summary.rounds.items():
        found.append(_loss_plot(summary, name, rows))
    found += [
        _learning_rate_plot(summary, summary.rounds.get(Round.SEARCH, ())),
        _importance_plot(importance(summary)),
        _duel_plot(summary),
    ]
    return [plot for plot in found if plot]


def save(plots: Sequence[Plot], folder: Path) -> list[Path]:
    """Draws every plot as PNG for light and for dark paper into `folder`. Raises StorageError."""
    import matplotlib

    fonts = [name for name in _FONTS if _has_font(name)]
    paths = []
    with matplotlib.rc_context({"font.family": fonts or ["sans-serif"], "font.size": 9, "axes.unicode_minus": True}):
        for plot in plots:
            for theme in (LIGHT, DARK):
                path = folder / f"{plot.figure.name}{theme.suffix}.png"
                with written_whole(path) as part:
                    _draw(plot, theme, part)
                paths.append(path)
    return paths


def importance(summary: Summary) -> list[KnobImportance]:
    """What mattered in the search round; empty when it is too small to say."""
    rows = [ranked for ranked in summary.rounds.get(Round.SEARCH, ()) if ranked.total is not None]
    log = [knob.name for knob in summary.knobs if knob.log]
    scores = [ranked.total for ranked in rows if ranked.total is not None]
    return knob_importance([ranked.config for ranked in rows], scores, log=log) if rows else []


def _draw(plot: Plot, theme: Theme, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=plot.size, dpi=180, facecolor=theme.paper, layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.add_subplot(facecolor=theme.paper)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.grid)
    axes.tick_params(which="both", colors=theme.quiet, labelcolor=theme.quiet, length=3)
    axes.grid(True, axis="y", color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    plot.draw(axes, theme)
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set_color(theme.quiet)
    if legend := axes.get_legend():
        for text in legend.get_texts():
            text.set_color(theme.ink)
    canvas.savefig(path, facecolor=theme.paper)


def _has_font(name: str) -> bool:
    from matplotlib import font_manager

    try:
        return bool(font_manager.findfont(name, fallback_to_default=False))
    except ValueError:
        return False


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
        for curve in sorted(curves, key=lambda c: _order(summary, c.ranked)):
            _draw_curve(axes, theme, summary, curve)
        _limit(axes, curves)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.margins(x=0.01)
        _legend(axes)

    caption = (
        f"{ROUND_NAMES[name]}, {counted(len(curves), 'trial')}. Strong with dots: loss on held-out pictures, fixed "
        "noise. Faint: training loss, smoothed; it can't be compared between settings."
    )
    if any(_grows(line) for curve in curves for line in curve.lines()):
        caption += " Curves that leave at the top belong to trials whose loss grew."
    figure = Figure(f"loss-{name.value}", f"Loss curves of the {name.value} round", caption)
    return Plot("loss", figure, (7.4, 3.1), draw)


def _read(ranked: Ranked, result: TrialResult) -> _Curve | None:
    from bracket.runner.traces import open_trace, read_trace

    tags = open_trace(read_trace(result.trial.folder)).read_all()
    train, validation = (tags.get(tag) for tag in ("loss/train", "loss/validation"))
    return _Curve(result, ranked, train, validation) if train or validation else None


def _order(summary: Summary, ranked: Ranked) -> int:
    """Winner and baseline are drawn last, on top."""
    if summary.winner and same(ranked.config, summary.winner.config):
        return 2
    return 1 if same(ranked.config, summary.baseline_config) else 0


def _draw_curve(axes: Axes, theme: Theme, summary: Summary, curve: _Curve) -> None:
    failed = curve.result.outcome is not Outcome.OK
    order = _order(summary, curve.ranked)
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


def _legend(axes: Axes, **options: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if unique:
        order = sorted(unique, key=lambda text: {"winner": 0, "baseline": 1}.get(text, 2))
        axes.legend([unique[text] for text in order], order, frameon=False, fontsize=8, **options)


# Score against learning rate


def _learning_rate_plot(summary: Summary, rows: Sequence[Ranked]) -> Plot | None:
    knob = learning_rate_knob(summary)
    trials = [(float(r.config[knob]), r) for r in rows if knob is not None and knob in r.config]
    if knob is None or len({rate for rate, _ in trials}) < 3:
        return None
    scored = [(rate, ranked.total) for rate, ranked in trials if ranked.total is not None]
    curve = lr_curve([rate for rate, _ in scored], [total for _, total in scored]) if scored else None
    knee = failure_knee([rate for rate, _ in trials], [ranked.total is None for _, ranked in trials])

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_xscale("log")
        if curve:
            axes.fill_between(curve.x, curve.low, curve.high, color=theme.accent, alpha=0.13, linewidth=0)
            axes.plot(curve.x, curve.mean, color=theme.accent, linewidth=1.5, label="smoothed, 95 % band")
        if knee:
            axes.axvspan(knee.value, max(rate for rate, _ in trials) * 1.3, color=theme.bad, alpha=0.07, linewidth=0)
        for rate, ranked in trials:
            _draw_trial(axes, theme, _order(summary, ranked), rate, ranked.total)
        totals = [total for _, total in scored]
        if totals:
            room = (max(totals) - min(totals)) or 0.1
            axes.set_ylim(min(totals) - 0.2 * room, max(totals) + 0.25 * room)
        axes.set_xlabel("learning rate")
        axes.set_ylabel("score (lower is better)")
        _legend(axes)

    words = [f"Search round, {counted(len(trials), 'config')}; the other knobs vary too, so points scatter."]
    if curve:
        low, high = (knob_value(knob, value) for value in (curve.best_low, curve.best_high))
        words.append(f"The curve is lowest at {knob_value(knob, curve.best_x)}; the best may lie from {low} to {high}.")
    if knee:
        words.append(f"From about {knob_value(knob, knee.value)} on, half of the trials or more fail.")
    figure = Figure("learning-rate", "Score of every config of the search against its learning rate", " ".join(words))
    return Plot("learning_rate", figure, (7.4, 3.1), draw)


def _draw_trial(axes: Axes, theme: Theme, order: int, rate: float, total: float | None) -> None:
    if total is None:
        # At the upper edge, whatever the scale: a failed trial has no score.
        axes.plot(rate, 0.97, "x", color=theme.bad, markersize=7, markeredgewidth=1.8, label="failed",
                  transform=axes.get_xaxis_transform())  # fmt: skip
        return
    colour, marker, label = (
        (theme.quiet, "o", "other settings"), (theme.strong, "s", "baseline"), (theme.accent, "D", "winner"),
    )[order]  # fmt: skip
    axes.plot(rate, total, marker, color=colour, markersize=8 if order else 5, alpha=1.0 if order else 0.8, label=label)


# Knob importance


def _importance_plot(found: Sequence[KnobImportance]) -> Plot | None:
    if not found:
        return None

    def draw(axes: Axes, theme: Theme) -> None:
        axes.grid(False)
        axes.grid(True, axis="x", color=theme.grid, linewidth=0.7)
        for y, one in enumerate(reversed(found)):
            axes.barh(y, one.share, height=0.5, color=theme.accent if one.clear else theme.quiet,
                      alpha=1.0 if one.clear else 0.45)  # fmt: skip
            axes.plot([one.noise_floor] * 2, [y - 0.36, y + 0.36], color=theme.ink, linewidth=1.4)
            text = percent(one.share) if one.clear else f"{percent(one.share)}, can't be told from noise"
            axes.text(max(one.share, one.noise_floor) + 0.015, y, text, va="center", color=theme.ink, fontsize=8.5)
        axes.set_yticks(range(len(found)), [knob_title(one.knob) for one in reversed(found)])
        axes.tick_params(axis="y", labelcolor=theme.ink, length=0)
        axes.set_xlim(0, max(1.0, *(one.share + 0.3 for one in found)))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("share of the ranking it explains")

    caption = "Search round. The upright line is what noise alone reaches in one search of twenty."
    figure = Figure("importance", "How much of the score's ranking each knob explains", caption)
    return Plot("importance", figure, (7.4, 0.9 + 0.42 * len(found)), draw)


# The duel, prompt by prompt


def _duel_plot(summary: Summary) -> Plot | None:
    claim = summary.verdict.checkpoint
    if summary.duel is None or claim is None:
        return None
    try:
        ours, theirs = paired_scores(summary.duel.winner, summary.duel.baseline)
    except ValueError:  # nothing to draw prompt by prompt; the certificate says what is wrong
        return None
    differences = np.sort((ours - theirs).mean(axis=1))[::-1]

    def draw(axes: Axes, theme: Theme) -> None:
        if claim.difference_low is not None and claim.difference_high is not None:
            axes.axhspan(claim.difference_low, claim.difference_high, color=theme.accent, alpha=0.13, linewidth=0)
        axes.axhline(claim.mean_difference, color=theme.accent, linewidth=1.2)
        axes.axhline(0, color=theme.quiet, linewidth=1)
        x = np.arange(1, differences.size + 1)
        colours = [theme.accent if d > 0 else theme.strong for d in differences]
        axes.vlines(x, 0, differences, colors=colours, linewidth=1.4, alpha=0.6)
        axes.scatter(x, differences, color=colours, s=22, zorder=3)
        axes.set_xlabel("fresh prompts, from the winner's best to its worst")
        axes.set_ylabel("winner minus baseline")
        axes.set_xticks([])

    caption = (
        f"Each dot is one of {counted(differences.size, 'fresh prompt')}, sample seeds averaged; above 0 the winner's "
        f"pictures are judged better. The band is the {percent(claim.interval_level)} interval of the mean."
    )
    figure = Figure("duel-differences", "Difference in judged score, prompt by prompt", caption)
    return Plot("duel", figure, (7.4, 2.7), draw)
