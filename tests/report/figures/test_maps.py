from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

from bracket.report.figures import drawing, maps
from bracket.report.material.searched import look
from bracket.report.summary import Summary
from tests.report.searches import results_of, summary_of

CONFIGS = [(float(rate), (2, 4, 8, 16)[(5 * i) % 4]) for i, rate in enumerate(np.geomspace(1e-5, 1e-1, 13))]


def _bowl(rate: float, rank: int) -> float | None:
    return None if rate > 2e-2 else 0.3 + 0.1 * (math.log10(rate) + 3) ** 2 + 0.001 * rank


def test_captions_say_what_they_are_made_of(finished: Summary) -> None:
    by_kind = {plot.kind: plot.figure.caption for plot in maps.plots(finished, look(finished))}
    assert list(by_kind) == ["importance", "learning_rate", "map", "concordance"]
    assert by_kind["learning_rate"].startswith("Search, 8 configs of 120 steps; the other knobs vary too")
    assert "hatched" in by_kind["map"] and "Kendall's tau" in by_kind["concordance"]


def test_the_learning_rate_is_found_to_matter(finished: Summary) -> None:
    assert look(finished).importance[0].knob == "learning_rate"


def test_too_few_configs_make_no_plot() -> None:
    few = summary_of(results_of(CONFIGS[:2], _bowl))
    assert maps.plots(few, look(few)) == []


def test_a_search_in_which_everything_melted_can_be_drawn(tmp_path: Path) -> None:
    summary = summary_of(results_of(CONFIGS, lambda rate, rank: None))
    plots = maps.plots(summary, look(summary))
    assert [plot.kind for plot in plots] == ["learning_rate"]
    assert len(drawing.save(plots, tmp_path)) == 2


def test_the_map_is_dark_where_the_score_is_bad_and_faded_where_it_is_a_guess(tmp_path: Path) -> None:
    summary = summary_of(results_of(CONFIGS, _bowl, loss=_bowl))
    plots = [plot for plot in maps.plots(summary, look(summary)) if plot.kind == "map"]
    light, dark = drawing.save(plots, tmp_path)
    pixels = np.asarray(Image.open(light).convert("RGB")).astype(int)
    # cividis runs from a dark blue to a bright yellow; paper and ink are grey.
    colourful = np.ptp(pixels, axis=2) > 60
    assert colourful.mean() > 0.2
    assert np.asarray(Image.open(dark).convert("L")).min() < 30
