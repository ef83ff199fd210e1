"""Each kind of duel as a plot: the differences unit by unit, and beside them what watching made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from bracket.report.claims.added import newest_pairs
from bracket.report.claims.evidence import plan_of
from bracket.report.claims.scores import BASELINE, Rules, differences_to, duel_scores
from bracket.report.figures.drawing import Plot, Theme, legend
from bracket.report.summary import Summary
from bracket.report.words import counted
from bracket.report.writing.document import Figure
from bracket.stats.duel.claims import CheckpointClaim, ConfigClaim
from bracket.stats.duel.sequential import Watched, e_values
from bracket.stats.duel.signflip import Floats
from bracket.stats.duel.wording import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FLOOR = 0.01
"""Lower e-values leave at the bottom; they all say the same."""
_SIZE, _WIDE = (7.4, 2.7), (7.4, 2.9)


def plots(summary: Summary) -> list[Plot]:
    """Of the two files over prompts, then of the settings over pairs, each where there was one."""
    found = []
    checkpoint, config = summary.verdict.checkpoint, summary.verdict.config
    if checkpoint and summary.duel and (prompts := _of_prompts(summary)) is not None:
        over = "sample seeds" if checkpoint.unit == "prompt" else "its prompts and sample seeds"
        what = f"Each dot is one of {counted(prompts.size, f'fresh {checkpoint.unit}')}, {over} averaged"
        better = "above 0 the winner's pictures are judged better"
        found.append(_plot("duel-differences", checkpoint.unit, checkpoint, prompts, f"{what}; {better}."))
    if config and (trained := newest_pairs(summary)):
        pairs = np.array(differences_to(BASELINE, trained))
        what = f"Each dot is one of {counted(pairs.size, 'pair')} of trainings with a fresh seed"
        found.append(_plot("duel-pairs", "pair", config, pairs, f"{what}; above 0 the winner's settings did better."))
    return found


def _of_prompts(summary: Summary) -> Floats | None:
    assert summary.duel is not None
    try:
        ours, theirs = duel_scores(summary.duel, Rules.of(plan_of(summary)).themes)
    except ValueError:  # nothing to draw prompt by prompt; the certificate says what is wrong
        return None
    differences: Floats = (ours - theirs).mean(axis=1)
    return differences


def _plot(name: str, unit: str, claim: CheckpointClaim | ConfigClaim, differences: Floats, caption: str) -> Plot:
    if claim.difference_low is not None or claim.difference_high is not None:
        caption += f" The band is where the mean may lie: {interval(claim)}."
    alt, watched = f"How much higher the winner is judged, {unit} by {unit}", claim.watched
    planned = watched.planned if watched else differences.size
    draw = _differences(claim, differences, planned, unit)
    if watched is None or not watched.live_alpha:
        return Plot("duel", Figure(name, alt, caption), _SIZE, draw)
    caption += (
        f" Beside them the e-value after each {unit}, from 1: how well a bet on that side has paid so far. The first "
        "to reach its dotted line decides, however often somebody looks."
    )
    value = f"{watched.e_winner:.0f}" if watched.e_winner >= 10 else f"{watched.e_winner:.2g}"
    end = f"it came to {value} for the winner, and {_needed(watched, True):.0f} decides"
    figure = Figure(name, f"{alt}, and the e-value after each: {end}", caption)
    return Plot("duel", figure, _WIDE, draw, beside=_path(watched, differences, unit))


def _around(differences: Floats, ends: list[float]) -> tuple[float, float]:
    """The range that shows all of these, with a margin: a band that is open on one side has no end to show."""
    values = [*differences, *ends, 0.0]
    margin = 0.06 * (max(values) - min(values)) or 1.0
    return min(values) - margin, max(values) + margin


def _differences(
    claim: CheckpointClaim | ConfigClaim, differences: Floats, planned: int, unit: str
) -> Callable[[Axes, Theme], None]:
    differences = 100 * differences  # in points, as people read them

    def draw(axes: Axes, theme: Theme) -> None:
        ends = [None if end is None else 100 * end for end in (claim.difference_low, claim.difference_high)]
        if known := [end for end in ends if end is not None]:
            low, high = (open_ if end is None else end for end, open_ in zip(ends, (-100.0, 100.0), strict=True))
            axes.axhspan(low, high, color=theme.accent, alpha=0.13, linewidth=0)
            axes.set_ylim(*_around(differences, known))
        axes.axhline(100 * claim.mean_difference, color=theme.accent, linewidth=1.2)
        axes.axhline(0, color=theme.quiet, linewidth=1)
        x = np.arange(1, differences.size + 1)
        colours = [theme.accent if d > 0 else theme.strong for d in differences]
        axes.vlines(x, 0, differences, colors=colours, linewidth=1.4, alpha=0.6)
        axes.scatter(x, differences, color=colours, s=22, zorder=3)
        axes.set_xlim(0, planned + 0.5)
        _keep_dots_in_sight(axes, differences)
        axes.set_xlabel(_order(unit))
        axes.set_ylabel("points above the baseline")
        _whole_ticks(axes)

    return draw


def _keep_dots_in_sight(axes: Axes, differences: Floats) -> None:
    """An interval of two or three units is so wide that the dots would lie on one line: it leaves at the edges."""
    low, high = min(0.0, float(differences.min())), max(0.0, float(differences.max()))
    room = max(high - low, 1e-9)
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - 1.5 * room), min(top, high + 1.5 * room))


def _path(watched: Watched, differences: Floats, unit: str) -> Callable[[Axes, Theme], None]:
    """The e-value of each side that was named beforehand, or that decided, against what decides for it."""
    sides = [("winner", True, np.array(watched.path))]
    if watched.two_sided or watched.decided == "baseline":
        sides.append(("baseline", False, e_values(-differences)))

    def draw(axes: Axes, theme: Theme) -> None:
        for name, ours, path in sides:
            colour = theme.accent if ours else theme.strong
            x, y = np.arange(path.size + 1), np.array([1.0, *path])
            axes.plot(x, y, color=colour, linewidth=2 if ours else 1.4, linestyle="-" if ours else "--", label=name)
            axes.plot(x[-1:], y[-1:], color=colour, marker="o", markersize=4)
            axes.axhline(_needed(watched, ours), color=theme.ink, linewidth=1.2, linestyle=":")
        axes.axhline(1, color=theme.quiet, linewidth=1)
        axes.set_yscale("log")
        reached = [float(value) for _, _, path in sides for value in path]
        needed = max(_needed(watched, ours) for _, ours, _ in sides)
        axes.set_ylim(max(_FLOOR, min(0.5, *reached) * 0.8), 2 * max(needed, *reached))
        axes.set_xlim(0, watched.planned + 0.5)
        axes.set_xlabel(_order(unit))
        axes.set_ylabel("e-value")
        _plain_numbers(axes, {_needed(watched, ours) for _, ours, _ in sides})
        _whole_ticks(axes)
        if len(sides) > 1:
            legend(axes, loc="best")

    return draw


def _needed(watched: Watched, ours: bool) -> float:
    """What decides for the winner, or for the baseline: twice that where nobody named it beforehand."""
    return watched.e_needed if ours or watched.two_sided else 2 * watched.e_needed


def _plain_numbers(axes: Axes, needed: set[float]) -> None:
    """Powers of ten that do not run into the thresholds, and the thresholds."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = axes.get_ylim()
    powers = [10.0**k for k in range(-2, int(np.log10(high)) + 1) if 10.0**k >= low]
    kept = [power for power in powers if all(abs(np.log10(power / value)) > 0.4 for value in needed)]
    axes.yaxis.set_major_locator(FixedLocator(sorted([*kept, *needed])))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.4g}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _whole_ticks(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, prune="lower"))


def _order(unit: str) -> str:
    return (unit if unit == "pair" else f"fresh {unit}") + ", in the plan's order"
