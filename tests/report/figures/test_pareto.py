"""The trade-off: who is on the front, what is said of it, and labels that cover nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bracket.domain import Config, Outcome, Round, Score, Trial, TrialResult
from bracket.report.figures import pareto
from bracket.report.figures.drawing import LIGHT, save
from bracket.report.summary import Ranked, Summary
from bracket.report.words import config_label
from bracket.report.writing.document import Figure, Paragraph, Table
from bracket.stats.duel.verdict import decide

TWO = ("likeness", "adherence")


def _row(rate: float, likeness: float, adherence: float, total: float, *, rung: int = 0) -> Ranked:
    config: Config = {"learning_rate": rate, "rank": 8}
    trial = Trial(f"search-{rate}", Round.SEARCH, "nsga2", config, 0, 100 * (rung + 1), Path(), rung=rung)
    axes, score = {"likeness": likeness, "adherence": adherence}, Score(total, total, total)
    result = TrialResult(trial, Outcome.OK, score=score, axes=axes)
    return Ranked(config, config_label(config, {"learning_rate"}), "nsga2", (result,), total)


ROWS = (
    _row(1e-3, 0.5, 0.6, 0.2),  # the winner: beaten on both by 2e-3
    _row(2e-3, 0.6, 0.7, 0.25),
    _row(5e-3, 0.9, 0.2, 0.3),
    _row(3e-4, 0.3, 0.8, 0.4),
    _row(1e-4, 0.2, 0.3, 0.5),  # the baseline
)


def _summary(rows: Sequence[Ranked] = ROWS, objectives: Sequence[str] = TWO) -> Summary:
    return Summary(
        name="zorb",
        folder=Path(),
        fingerprint="",
        preset_name="demo",
        preset_title="Demo",
        settings={"search": {"strategy": "nsga2", "objectives": list(objectives)}},
        knobs=(),
        baseline_config=ROWS[-1].config,
        rounds={Round.SEARCH: tuple(rows)},
        verdict=decide("winner", "baseline", training_seeds=1),
        prompts=(),
        verdict_prompts=(),
        winner=ROWS[0],
    )


def test_the_front_is_of_the_longest_rung_and_of_those_judged_on_both() -> None:
    failed = replace(_row(0.05, 0.99, 0.99, 0.1), total=None)
    points = pareto.placed(_summary([*ROWS, failed]))
    assert [p.on_front for p in points] == [False, True, True, True, False]
    longer = [_row(1e-3, 0.1, 0.1, 0.4, rung=1), _row(2e-3, 0.1, 0.2, 0.4, rung=1), *ROWS[2:]]
    assert [p.on_front for p in pareto.placed(_summary(longer))] == [False, True]


def test_the_trade_is_said_with_its_price() -> None:
    summary = _summary()
    plot = pareto.plot(summary)
    assert plot is not None
    section = pareto.section(summary, [plot])
    text, figure, table = section.blocks
    assert section.title == "The trade-off of likeness and adherence"
    assert isinstance(text, Paragraph) and isinstance(figure, Figure) and isinstance(table, Table)
    assert "3 of 5 configs stand on the front" in text.text
    assert "From lr 3e-4 to lr 5e-3 likeness rises by 60.0, and adherence falls by 60.0 points." in text.text
    assert "The winner is not on the front" in text.text
    assert [row.cells for row in table.rows] == [
        ("lr 5e-3", "90.0", "20.0", "70.0"),
        ("lr 2e-3", "60.0", "70.0", "75.0"),
        ("lr 3e-4", "30.0", "80.0", "60.0"),
    ]


def test_one_that_is_best_on_both_leaves_nothing_to_trade() -> None:
    best = _row(4e-3, 0.95, 0.95, 0.1)
    (text, *_) = pareto.section(_summary([best, *ROWS]), []).blocks
    assert isinstance(text, Paragraph)
    assert text.text.startswith("There is nothing to trade: lr 4e-3 is best on likeness and on adherence.")


@pytest.mark.parametrize("objectives", [(), ("likeness", "beauty")])
def test_without_values_on_two_objectives_there_is_no_section(objectives: Sequence[str]) -> None:
    summary = _summary(objectives=objectives)
    assert pareto.plot(summary) is None and pareto.section(summary, []).blocks == ()


def test_a_panels_axes_are_told_with_their_member() -> None:
    assert [pareto.axis_title(n) for n in ("likeness", "qwen_vl.prompt_match")] == [
        "likeness",
        "prompt match (qwen_vl)",
    ]


def test_labels_cover_neither_points_nor_each_other() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.text import Annotation

    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0, np.pi / 2, 25))
    rows = [_row(1e-5 * 1.3**i, 0.9 * np.cos(a), 0.9 * np.sin(a), 0.3) for i, a in enumerate(angles)]
    rows += [_row(1e-5 * 1.3 ** (30 + i), *rng.uniform(0.2, 0.5, 2), 0.5) for i in range(20)]
    plot = pareto.plot(_summary(rows))
    assert plot is not None
    canvas: Any = Canvas(figsize=plot.size, dpi=100, layout="constrained")
    FigureCanvasAgg(canvas)
    axes = canvas.add_subplot()
    plot.draw(axes, LIGHT)
    canvas.draw_without_rendering()
    boxes = [t.get_window_extent() for t in axes.texts if isinstance(t, Annotation)]
    dots = [axes.transData.transform(tuple(r.results[0].axes.values())) for r in rows]
    assert len(boxes) >= 10
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert not any(box.contains(*dot) for box in boxes for dot in dots)


def test_it_is_drawn_for_light_and_dark_paper(tmp_path: Path) -> None:
    plot = pareto.plot(_summary())
    assert plot is not None
    light, dark = (np.asarray(Image.open(path).convert("L")) for path in save([plot], tmp_path))
    assert np.median(light) == 255 and np.median(dark) < 30
