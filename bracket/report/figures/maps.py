"""Plots of what mattered: the score over the learning rate, over two knobs, knob by knob, and loss against judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bracket.domain import Knob
from bracket.report.figures.drawing import Plot, Theme, legend, order_of
from bracket.report.material.searched import Searched, TwoKnobs
from bracket.report.summary import Summary
from bracket.report.words import counted, knob_title, knob_value, number, percent
from bracket.report.writing.document import Figure
from bracket.stats.search.importance import KnobImportance
from bracket.stats.search.scale import is_log, knob_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = "cividis"
"""Even in lightness, and the same to eyes that tell red from green and to those that don't."""
_MOST_TICKS = 8


def plots(summary: Summary, searched: Searched) -> list[Plot]:
    """Those that this search has enough trials for."""
    found = [
        _importance_plot(searched.importance, searched),
        _learning_rate_plot(summary, searched),
        _map_plot(summary, searched.map, searched),
        _concordance_plot(summary, searched),
    ]
    return [plot for plot in found if plot]


def _of_length(searched: Searched) -> str:
    return f"Search, {counted(len(searched.tried), 'config')} of {searched.compared.steps} steps"


# Score against learning rate


def _learning_rate_plot(summary: Summary, searched: Searched) -> Plot | None:
    knob, curve, knee = searched.rate, searched.curve, searched.knee
    burnt = [rate for rate, bad in searched.ended if bad]
    scored = [(float(one.config[knob]), one) for one in searched.tried if knob and knob in one.config]
    rates = [rate for rate, _ in scored] + burnt
    if knob is None or len(set(rates)) < 3:
        return None

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_xscale("log")
        if curve:
            low, high = _shown(curve.high), _shown(curve.low)
            axes.fill_between(curve.x, low, high, color=theme.accent, alpha=0.13, linewidth=0)
            axes.plot(curve.x, _shown(curve.mean), color=theme.accent, linewidth=1.5, label="smoothed, 95 % band")
        if knee:
            end = knee.high or max(rates) * 1.3
            axes.axvspan(knee.low or min(rates), end, color=theme.bad, alpha=0.07, linewidth=0)
            axes.axvline(knee.value, color=theme.bad, linewidth=1, linestyle=":", label="half melt")
        for rate in burnt:
            # At the lower edge, whatever the scale: a failed trial has no score.
            axes.plot(rate, 0.03, "x", color=theme.bad, markersize=7, markeredgewidth=1.8, label="melted",
                      transform=axes.get_xaxis_transform())  # fmt: skip
        for rate, one in scored:
            _mark(axes, theme, order_of(summary, one.config), rate, float(_shown(one.total)))
        if scored:
            ends = _shown([one.total for _, one in scored])
            room = float(np.ptp(ends)) or 10.0
            axes.set_ylim(ends.min() - 0.25 * room, ends.max() + 0.2 * room)
        axes.set_xlabel(knob_title(knob))
        axes.set_ylabel("score")
        legend(axes)

    words = [f"{_of_length(searched)}; the other knobs vary too, so points scatter."]
    if knee:
        words.append("Where melting begins lies in the red band, most likely at the dotted line.")
    figure = Figure("learning-rate", "Score of every config of the search against its learning rate", " ".join(words))
    return Plot("learning_rate", figure, (7.4, 3.1), draw)


def _shown(parts: ArrayLike) -> NDArray[np.float64]:
    """Totals, or a part of them, as people read them: 0 to 100, higher is better."""
    return 100 * (1 - np.asarray(parts, dtype=np.float64))


def _mark(axes: Axes, theme: Theme, order: int, x: float, y: float) -> None:
    colour, marker, label = (
        (theme.quiet, "o", "other settings"), (theme.strong, "s", "baseline"), (theme.accent, "D", "winner"),
    )[order]  # fmt: skip
    axes.plot(x, y, marker, color=colour, markersize=8 if order else 5, alpha=1.0 if order else 0.8, label=label,
              zorder=3 + order)  # fmt: skip


# Two knobs


def _map_plot(summary: Summary, found: TwoKnobs | None, searched: Searched) -> Plot | None:
    if found is None:
        return None
    land, x, y = found.landscape, found.x, found.y
    tried = [one.config for one in searched.tried if x.name in one.config and y.name in one.config]

    def draw(axes: Axes, theme: Theme) -> None:
        axes.grid(False)
        heat = axes.pcolormesh(land.x, land.y, _shown(land.mean), cmap=_COLOURS, shading="gouraud", rasterized=True)
        _axis(axes, "x", x, theme)
        _axis(axes, "y", y, theme)
        if land.unsure:
            levels = [land.limit, 2 * float(land.sd.max())]
            axes.contourf(land.x, land.y, land.sd, levels=levels, colors=[theme.paper], alpha=0.62)
            hatched = axes.contourf(land.x, land.y, land.sd, levels=levels, colors="none", hatches=["///"])
            hatched.set_edgecolor(theme.quiet)
            hatched.set_linewidth(0.0)
        for config in tried:
            order = order_of(summary, config)
            face = (theme.paper, theme.strong, theme.accent)[order]
            axes.plot(float(config[x.name]), float(config[y.name]), "osD"[order], markersize=8 if order else 5.5,
                      markerfacecolor=face, markeredgecolor=theme.ink, markeredgewidth=1, zorder=3 + order,
                      label=("tried", "baseline", "winner")[order], clip_on=False)  # fmt: skip
        legend(axes, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
        _scale(axes, heat, theme)

    caption = (
        f"{_of_length(searched)}: the score expected from these two knobs, the others averaged over. Where the map is "
        "hatched and faded it is a guess: its 95 % interval there is wider than all of the map's own differences."
    )
    names = f"{knob_title(x.name)} and {knob_title(y.name)}"
    return Plot("map", Figure("two-knobs", f"Expected score over {names}", caption), (7.4, 4.2), draw)


def _axis(axes: Axes, side: str, knob: Knob, theme: Theme) -> None:
    """The knob's own scale; a choice has a tick at each of its values."""
    setter: dict[str, Any] = {"x": (axes.set_xscale, axes.set_xticks, axes.set_xlabel, axes.xaxis),
                              "y": (axes.set_yscale, axes.set_yticks, axes.set_ylabel, axes.yaxis)}  # fmt: skip
    scale, ticks, label, axis = setter[side]
    scale("log" if is_log(knob) else "linear")
    label(knob_title(knob.name))
    if knob.kind == "choice" and len(knob.choices) <= _MOST_TICKS:
        values = sorted(float(c) for c in knob.choices if isinstance(c, int | float))
        low, high = axis.get_view_interval()
        values = [value for value in values if low - 1e-9 <= value <= high + 1e-9]
        ticks(values, [knob_value(knob.name, int(v) if v == int(v) else v) for v in values])
        ticks([], minor=True)
    elif is_log(knob) and knob_ends(knob)[1] / knob_ends(knob)[0] < 100:
        from matplotlib.ticker import NullFormatter

        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", colors=theme.quiet, labelcolor=theme.quiet, length=3)


def _scale(axes: Axes, heat: Any, theme: Theme) -> None:
    """The colours' own axis, best at its upper end."""
    bar = axes.figure.colorbar(heat, ax=axes, pad=0.02, aspect=28)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=theme.quiet, labelcolor=theme.quiet, length=0)
    bar.set_label("score", color=theme.quiet)


# Knob importance


def _importance_plot(found: Sequence[KnobImportance], searched: Searched) -> Plot | None:
    if not found:
        return None

    def draw(axes: Axes, theme: Theme) -> None:
        axes.grid(False)
        axes.grid(True, axis="x", color=theme.grid, linewidth=0.7)
        for y, one in enumerate(reversed(found)):
            axes.barh(y, one.share, height=0.5, color=theme.accent if one.clear else theme.quiet,
                      alpha=1.0 if one.clear else 0.45)  # fmt: skip
            axes.plot([one.noise_floor] * 2, [y - 0.36, y + 0.36], color=theme.ink, linewidth=1.4)
            axes.text(max(one.share, one.noise_floor) + 0.015, y, _share(one), va="center", color=theme.ink,
                      fontsize=8.5)  # fmt: skip
        axes.set_yticks(range(len(found)), [knob_title(one.knob) for one in reversed(found)])
        axes.tick_params(axis="y", labelcolor=theme.ink, length=0)
        axes.set_xlim(0, max(1.0, *(one.share + 0.3 for one in found)))
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
        axes.set_xlabel("share of the ranking it explains")

    caption = f"{_of_length(searched)}. The upright line is what noise alone reaches in one search of twenty."
    figure = Figure("importance", "How much of the score's ranking each knob explains", caption)
    return Plot("importance", figure, (7.4, 0.9 + 0.42 * len(found)), draw)


def _share(one: KnobImportance) -> str:
    if one.clear:
        return percent(one.share)
    return f"{percent(one.share)}, " + ("hardly matters" if one.negligible else "can't be told from noise")


# Loss against judge


def _concordance_plot(summary: Summary, searched: Searched) -> Plot | None:
    found = searched.concordance
    if found is None:
        return None
    rows = [searched.tried[i] for i in searched.judged]
    losses = np.array([one.validation_loss for one in rows], dtype=np.float64)
    judged = _shown([one.sample_part for one in rows])

    def draw(axes: Axes, theme: Theme) -> None:
        for i, one in enumerate(rows):
            _mark(axes, theme, order_of(summary, one.config), losses[i], judged[i])
        # Nothing has a lower loss or a higher score than these two: there is room beside the one and above the other.
        width, height = float(np.ptp(losses)), float(np.ptp(judged))
        axes.set_xlim(losses.min() - 0.34 * width, losses.max() + 0.06 * width)
        axes.set_ylim(judged.min() - 0.1 * height, judged.max() + 0.26 * height)
        both = found.by_loss == found.by_judge
        _call(axes, theme, (losses[found.by_loss], judged[found.by_loss]), "left",
              "best by both" if both else "best by loss", searched.labels[searched.judged[found.by_loss]])  # fmt: skip
        if not both:
            _call(axes, theme, (losses[found.by_judge], judged[found.by_judge]), "above", "best by the judge",
                  searched.labels[searched.judged[found.by_judge]])  # fmt: skip
        axes.set_xlabel("loss on held-out pictures (lower is better)")
        axes.set_ylabel("judged")
        legend(axes, loc="upper right")

    caption = (
        f"{_of_length(searched)}. Where loss and judge agree, points fall from the upper left to the lower right. "
        f"Kendall's tau {number(found.tau, 2)}."
    )
    figure = Figure("loss-judge", "Loss on held-out pictures against what is judged", caption)
    return Plot("concordance", figure, (7.4, 3.3), draw)


def _call(axes: Axes, theme: Theme, point: tuple[float, float], side: str, name: str, label: str) -> None:
    """A point's name beside it or above it, with its settings where they are short."""
    left = side == "left"
    text = f"{name}\n{label}" if len(label) <= _LABEL else name
    axes.annotate(
        text, point, xytext=(-9, 0) if left else (0, 8), textcoords="offset points", ha="right" if left else "center",
        va="center" if left else "bottom", color=theme.ink, fontsize=8.5, linespacing=1.25,
    )  # fmt: skip


_LABEL = 28
"""Characters of a config that fit beside its point."""
