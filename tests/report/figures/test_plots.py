from __future__ import annotations

import numpy as np
from PIL import Image

from bracket.report.figures import plots as figures
from bracket.report.summary import Summary


def test_plots_are_of_one_round_each(finished: Summary) -> None:
    assert [plot.figure.name for plot in figures.plots(finished)] == [
        "loss-search", "loss-finals", "loss-confirmation", "importance", "learning-rate", "two-knobs", "loss-judge",
        "duel-differences", "duel-pairs",
    ]  # fmt: skip


def test_each_plot_is_drawn_for_light_and_dark_paper(finished: Summary) -> None:
    folder = finished.folder / "report" / "figures"
    for plot in figures.plots(finished):
        names = (f"{plot.figure.name}{suffix}.png" for suffix in ("", "-dark"))
        light, dark = (np.asarray(Image.open(folder / name).convert("L")) for name in names)
        assert light.shape == dark.shape
        assert np.median(light[:, 0]) == 255
        assert np.median(dark[:, 0]) < 30
        assert light.min() < 110 < 150 < dark.max()


def test_smoothing_starts_at_the_first_value_and_passes_over_gaps() -> None:
    steps, values = figures._smooth((np.arange(4), np.array([1.0, np.nan, 1.0, 2.0])))
    assert steps.tolist() == [0, 1, 2, 3]
    # Weights 0.81, 0.9 and 1: (0.81 + 0.9 + 2) / 2.71.
    np.testing.assert_allclose(values, [1.0, 1.0, 1.0, 3.71 / 2.71])
