from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from bracket.domain import Round
from bracket.report import figures
from bracket.report.summary import Summary


def test_plots_are_of_one_round_each(finished: Summary) -> None:
    assert [plot.figure.name for plot in figures.plots(finished)] == [
        "loss-search", "loss-finals", "loss-confirmation", "learning-rate", "importance", "duel-differences",
    ]  # fmt: skip


def test_each_plot_is_drawn_for_light_and_dark_paper(finished: Summary) -> None:
    folder = finished.folder / "report" / "figures"
    for plot in figures.plots(finished):
        names = (f"{plot.figure.name}{suffix}.png" for suffix in ("", "-dark"))
        light, dark = (np.asarray(Image.open(folder / name).convert("L")) for name in names)
        assert light.shape == dark.shape
        assert np.median(light) == 255
        assert np.median(dark) < 30
        assert light.min() < 110 < 150 < dark.max()


def test_the_learning_rate_plot_says_where_the_best_may_lie(finished: Summary) -> None:
    plot = next(plot for plot in figures.plots(finished) if plot.kind == "learning_rate")
    assert "9 configs" in plot.figure.caption
    assert "The curve is lowest at" in plot.figure.caption


def test_the_learning_rate_is_found_to_matter(finished: Summary) -> None:
    found = figures.importance(finished)
    assert found[0].knob == "learning_rate"


def test_too_few_learning_rates_make_no_plot(finished: Summary) -> None:
    few = replace(finished, rounds={Round.SEARCH: finished.rounds[Round.SEARCH][:2]})
    assert not [plot for plot in figures.plots(few) if plot.kind in ("learning_rate", "importance")]


def test_a_search_in_which_everything_failed_can_be_drawn(finished: Summary, tmp_path: Path) -> None:
    rows = tuple(replace(ranked, total=None) for ranked in finished.rounds[Round.SEARCH])
    plots = figures.plots(replace(finished, rounds={Round.SEARCH: rows}, duel=None, winner=None))
    assert [plot.kind for plot in plots] == ["loss", "learning_rate"]
    assert len(figures.save(plots[1:], tmp_path)) == 2


def test_smoothing_starts_at_the_first_value_and_passes_over_gaps() -> None:
    steps, values = figures._smooth((np.arange(4), np.array([1.0, np.nan, 1.0, 2.0])))
    assert steps.tolist() == [0, 1, 2, 3]
    # Weights 0.81, 0.9 and 1: (0.81 + 0.9 + 2) / 2.71.
    np.testing.assert_allclose(values, [1.0, 1.0, 1.0, 3.71 / 2.71])
