"""How every plot of the report is drawn: on light and on dark paper, as PNG, in the report's own colours.

matplotlib is imported only when something is drawn, and only its Agg canvas, so no display is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bracket.domain import Config
from bracket.files import written_whole
from bracket.report.material.tables import same
from bracket.report.summary import Summary
from bracket.report.writing.document import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Kind = Literal["loss", "learning_rate", "map", "concordance", "importance", "duel", "pareto"]
_FONTS = ("Inter", "Segoe UI", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")


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
    """A figure that can be drawn: where it belongs, its words, its size in inches, and how.

    `beside` draws a second half on the right.
    """

    kind: Kind
    figure: Figure
    size: tuple[float, float]
    draw: Callable[[Axes, Theme], None]
    beside: Callable[[Axes, Theme], None] | None = None


def save(plots: Sequence[Plot], folder: Path) -> list[Path]:
    """Draws every plot as PNG for light and for dark paper into `folder`. Raises StorageError."""
    import matplotlib

    fonts = [name for name in _FONTS if _has_font(name)]
    paths = []
    with matplotlib.rc_context(
        {"font.family": fonts or ["sans-serif"], "font.size": 9, "axes.unicode_minus": True, "hatch.linewidth": 0.6}
        | {"text.parse_math": False}
    ):
        for plot in plots:
            for theme in (LIGHT, DARK):
                path = folder / f"{plot.figure.name}{theme.suffix}.png"
                with written_whole(path) as part:
                    _draw(plot, theme, part)
                paths.append(path)
    return paths


def _draw(plot: Plot, theme: Theme, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=plot.size, dpi=180, facecolor=theme.paper, layout="constrained")
    FigureCanvasAgg(canvas)
    halves = [plot.draw, *([plot.beside] if plot.beside else [])]
    for place, draw in enumerate(halves, start=1):
        _draw_half(canvas.add_subplot(1, len(halves), place, facecolor=theme.paper), theme, draw)
    canvas.savefig(path, facecolor=theme.paper)


def _draw_half(axes: Axes, theme: Theme, draw: Callable[[Axes, Theme], None]) -> None:
    from matplotlib.ticker import LogFormatter, LogFormatterMathtext

    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.grid)
    axes.tick_params(which="both", colors=theme.quiet, labelcolor=theme.quiet, length=3)
    axes.grid(True, axis="y", color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    draw(axes, theme)
    for axis in (axes.xaxis, axes.yaxis):
        # Names and values of others may hold $…$, so no text is a formula, and powers of ten are plain numbers.
        for formatter, put in (
            (axis.get_major_formatter(), axis.set_major_formatter),
            (axis.get_minor_formatter(), axis.set_minor_formatter),
        ):
            if isinstance(formatter, LogFormatterMathtext):
                put(LogFormatter(minor_thresholds=formatter.minor_thresholds))
    for text in (axes.xaxis.label, axes.yaxis.label):
        text.set_color(theme.quiet)
    if legend := axes.get_legend():
        for text in legend.get_texts():
            text.set_color(theme.ink)


def _has_font(name: str) -> bool:
    from matplotlib import font_manager

    try:
        return bool(font_manager.findfont(name, fallback_to_default=False))
    except ValueError:
        return False


def legend(axes: Axes, **options: Any) -> None:
    """Each label once, winner and baseline first."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    if unique:
        order = sorted(unique, key=lambda text: {"winner": 0, "baseline": 1}.get(text, 2))
        axes.legend([unique[text] for text in order], order, frameon=False, fontsize=8, **options)


def order_of(summary: Summary, config: Config) -> int:
    """2 for the winner, 1 for the baseline, 0 for the others: the higher are drawn last, on top."""
    if summary.winner and same(config, summary.winner.config):
        return 2
    return 1 if same(config, summary.baseline_config) else 0
