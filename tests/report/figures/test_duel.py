from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from PIL import Image

from bracket.report.claims.scores import duel_scores
from bracket.report.figures import duel as figures_duel
from bracket.report.figures.drawing import LIGHT, Plot, save
from bracket.report.summary import Pair, Summary
from bracket.stats import config_claim, e_values
from bracket.stats.duel.verdict import decide


def of_pairs(finished: Summary, differences: list[float], planned: int) -> Plot:
    claim = config_claim(differences, planned=planned)
    pairs = tuple(Pair(1000 + i, 0.5 + d, 0.5) for i, d in enumerate(differences))
    summary = replace(finished, duel=None, pairs=pairs, verdict=decide("w", "b", config=claim))
    (plot,) = figures_duel.plots(summary)
    return plot


def evidence(plot: Plot) -> Axes:
    axes = Canvas().add_subplot()
    assert plot.beside is not None
    plot.beside(axes, LIGHT)
    return axes


def lines(axes: Axes) -> dict[str, list[float]]:
    found = {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()}
    return {name: heights for name, heights in found.items() if len(heights) > 2}


def levels(axes: Axes) -> set[float]:
    """Where the horizontal lines lie."""
    found = [np.asarray(line.get_ydata()).tolist() for line in axes.get_lines()]
    return {round(heights[0], 6) for heights in found if len(heights) == 2 and heights[0] == heights[1]}


def test_few_units_show_their_differences_alone(finished: Summary) -> None:
    prompts, pairs = figures_duel.plots(finished)
    assert (prompts.figure.name, prompts.beside, pairs.figure.name, pairs.beside) == (
        "duel-differences", None, "duel-pairs", None,
    )  # fmt: skip
    assert "one of 8 fresh prompts, sample seeds averaged" in prompts.figure.caption
    assert "where the mean may lie: at least" in pairs.figure.caption and "e-value" not in pairs.figure.caption
    assert finished.duel is not None
    ours, theirs = duel_scores(finished.duel)
    axes = Canvas().add_subplot()
    prompts.draw(axes, LIGHT)
    drawn = [np.asarray(found.get_offsets()) for found in axes.collections]
    (dots,) = [offsets for offsets in drawn if offsets.shape == (8, 2)]
    np.testing.assert_allclose(dots[:, 1], 100 * (ours - theirs).mean(axis=1))


def test_the_path_of_the_e_value_and_what_decides(finished: Summary) -> None:
    # Eight equal wins of twelve: (1.6^8 + 1.8^8 + 2^8)/3 = 136, 100 decides.
    plot = of_pairs(finished, [0.25] * 8, 12)
    assert plot.figure.alt.endswith("it came to 136 for the winner, and 100 decides")
    axes = evidence(plot)
    assert lines(axes) == {"winner": pytest.approx([1.0, *e_values([0.25] * 8)])}
    assert levels(axes) == {1.0, 100.0}
    assert axes.get_yscale() == "log" and axes.get_xlim() == (0, 12.5)
    assert {"100", "10", "1"} >= {label.get_text() for label in axes.get_yticklabels()} - {"0.1"}


def test_a_duel_that_the_baseline_decided_shows_its_side_too(finished: Summary) -> None:
    axes = evidence(of_pairs(finished, [-0.25] * 9, 12))
    assert lines(axes)["baseline"][-1] == pytest.approx((1.6**9 + 1.8**9 + 2**9) / 3)
    assert levels(axes) == {1.0, 100.0, 200.0}
    assert axes.get_ylim()[0] == figures_duel._FLOOR


def test_a_wide_interval_does_not_press_the_dots_flat(finished: Summary) -> None:
    axes = Canvas().add_subplot()
    of_pairs(finished, [0.02, -0.03], 5).draw(axes, LIGHT)
    assert np.ptp(axes.get_ylim()) <= 4 * 5 + 1e-9


def test_both_halves_are_drawn(finished: Summary, tmp_path: Path) -> None:
    light, dark = save([of_pairs(finished, [0.25] * 8, 12)], tmp_path)
    for path, paper in ((light, 255), (dark, 30)):
        pixels = np.asarray(Image.open(path).convert("L")).astype(int)
        halves = np.array_split(np.abs(pixels - np.median(pixels[:, 0])) > 60, 2, axis=1)
        assert all(half.mean() > 0.003 for half in halves)
        assert abs(np.median(pixels) - paper) < 30
