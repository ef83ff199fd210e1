from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from bracket.domain import Score, TrialResult
from bracket.report.figures import drawing
from bracket.report.figures import plots as figures
from bracket.report.material.searched import look
from bracket.report.sections import mattered
from bracket.report.summary import Summary
from bracket.report.writing.document import Bullets, Figure, Paragraph, Subheading, Table
from bracket.search.suggestion import suggest
from tests.report.searches import LR, RANK, results_of, summary_of

RATES = [float(rate) for rate in np.geomspace(1e-5, 1e-1, 13)]
CONFIGS = [(rate, (2, 4, 8, 16)[(5 * i) % 4]) for i, rate in enumerate(RATES)]


def _bowl(rate: float, rank: int) -> float:
    return 0.3 + 0.1 * (math.log10(rate) + 3) ** 2 + 0.001 * rank


def _said(results: list[TrialResult]) -> str:
    return " ".join(mattered.sentences(look(summary_of(results))))


def test_a_search_that_melts_at_the_top_says_where_and_how_sure() -> None:
    # 1e-2 and below hold, three of thirteen melt: the nearest below and above are 1e-2 and 2.2e-2.
    said = _said(results_of(CONFIGS, lambda rate, rank: None if rate > 1.1e-2 else _bowl(rate, rank)))
    assert "Melting begins between a learning rate of 1e-2, up to which 10 of 10 held, and 2.2e-2, " in said
    assert "from which on 3 of 3 melted (95 % interval of where half melt: 2.2e-3 to 1e-1)." in said
    assert "chance" not in said
    assert "10 of 13 configs held; 3 melted, from a learning rate of 2.2e-2 on." in said


def test_one_melted_trial_may_be_chance() -> None:
    said = _said(results_of(CONFIGS[:8], lambda rate, rank: None if rate > 2e-3 else _bowl(rate, rank)))
    assert "from which on 1 of 1 melted (95 % interval of where half melt: from " in said
    assert "With so few that melted this may be chance (p = 0.1" in said


def test_trials_that_overlap_have_a_knee_without_a_gap() -> None:
    burnt = {RATES[8], *RATES[10:]}
    said = _said(results_of(CONFIGS, lambda rate, rank: None if rate in burnt else _bowl(rate, rank)))
    assert "Above a learning rate of about 3.2e-3 half of the trials melt (95 % interval of where half melt: " in said
    assert "9 of 13 configs held; 4 melted, the lowest at a learning rate of 4.6e-3." in said


@pytest.mark.parametrize(
    ("burnt", "words"),
    [
        (set(), "All 13 configs held, up to a learning rate of 1e-1: where melting begins can't be told."),
        (set(RATES), "Every config melted, down to a learning rate of 1e-5"),
        (set(RATES[:2]), "2 of 13 configs melted, but not those with the highest learning rate."),
    ],
)
def test_where_melting_cannot_be_told_it_is_said(burnt: set[float], words: str) -> None:
    assert words in _said(results_of(CONFIGS, lambda rate, rank: None if rate in burnt else _bowl(rate, rank)))


def test_loss_and_judge_agree() -> None:
    said = _said(results_of(CONFIGS, _bowl, loss=_bowl))
    assert "The validation loss and the judge agree (tau 1.00, 0.9" in said
    assert "Picking by loss would have chosen lr 1e-3, rank 8, the judge's first too." in said


def test_loss_and_judge_disagree_and_it_is_said_what_that_costs() -> None:
    said = _said(results_of(CONFIGS, _bowl, loss=lambda rate, rank: 1 / rate))
    assert "do not clearly agree (tau " in said
    assert "Picking by loss would have chosen lr 1e-1, rank 2, which is 12th of 13 by the judge." in said
    against = _said(results_of(CONFIGS, _bowl, loss=lambda rate, rank: 2 - _bowl(rate, rank)))
    assert "rank the configs against each other (tau \N{MINUS SIGN}1.00" in against


def test_lengths_are_not_mixed_and_it_is_said() -> None:
    short = results_of(CONFIGS, lambda rate, rank: 0.9 - 0.1 * math.log10(rate))
    long = results_of(CONFIGS[4:11], _bowl, steps=400, first=13)
    searched = look(summary_of([*short, *long]))
    assert (searched.compared.steps, len(searched.tried)) == (400, 7)
    section = mattered.section(summary_of([*short, *long]), searched, [])
    notes = [block.text for block in section.blocks if isinstance(block, Paragraph)]
    assert notes[0].startswith("This rests on the 7 configs of 400 steps. Those of 100 steps are not mixed in")
    assert len(searched.ended) == 13, "whether a config melted is counted at every length, once"


def test_too_few_trials_say_what_it_would_take() -> None:
    said = _said(results_of(CONFIGS[:4], _bowl, loss=_bowl))
    assert "takes 6 scored configs of one length that differ in knobs and scores; this search has 4." in said
    assert "A map of two knobs takes 8 scored configs of one length with 3 values of each of two numeric" in said
    assert "validation loss and judge agree can't be told: it takes 6 configs that differ in both; this search" in said
    assert "can't be told: it takes 6 scored" in _said(results_of(CONFIGS[:1], _bowl))
    assert mattered.section(summary_of([]), look(summary_of([])), []).blocks == ()
    assert figures.plots(summary_of([])) == []


def test_what_the_loss_really_counts_is_said() -> None:
    told = [
        replace(r, score=Score(0.3 * loss + 0.7 * part, loss, part))
        for r, loss, part in zip(results_of(CONFIGS[:6], _bowl), (0, 2, 4, 6, 8, 10), (0, 1, 2, 3, 4, 6), strict=True)
    ]
    said = (
        "of 100 steps the loss counts 30 % and the pictures 70 %. In effect the loss carries 43 % of the score's spread"
    )
    assert f"{said} among all 6 configs, and 46 % among the best 3." in _said(told)  # 0.3 · 2 against 0.7 · 1
    assert "carries" not in _said(results_of(CONFIGS, _bowl))


def test_the_section_has_words_then_figures_then_the_next_space() -> None:
    results = results_of(CONFIGS, _bowl, loss=_bowl)
    summary = summary_of(results, suggestion=suggest((LR, RANK), results).as_dict())
    searched = look(summary)
    plots = figures.plots(summary, searched)
    blocks = mattered.section(summary, searched, plots).blocks
    kinds = [type(block) for block in blocks]
    assert kinds == [Bullets, Figure, Figure, Figure, Figure, Subheading, Table]
    table = blocks[-1]
    assert isinstance(table, Table)
    assert [row.cells[0] for row in table.rows] == ["learning rate", "rank"]
    assert table.rows[0].cells[1] == "narrowed" and " to " in table.rows[0].cells[2]


def test_the_json_holds_all_of_it(finished: Summary) -> None:
    folder = finished.folder / "report"
    data = json.loads((folder / mattered.FILE).read_text())
    assert data["steps"] == 120 and data["configs"] == 8
    assert data["sentences"][0].startswith("The score clearly follows")
    assert [one["kind"] for one in data["figures"]] == ["importance", "learning_rate", "map", "concordance"]
    assert all((folder / one[paper]).is_file() for one in data["figures"] for paper in ("light", "dark"))
    assert {one["knob"] for one in data["importance"]} == {"learning_rate", "rank"}
    assert data["knee"]["failures"] == 1 and data["suggestion"] is None


def test_values_of_a_suggested_space() -> None:
    advice = asdict(suggest((LR, RANK), results_of(CONFIGS, _bowl)).knobs[0])
    assert mattered.space_words({**advice, "low": 1e-4, "high": 3e-3}) == "1e-4 to 3e-3"
    assert mattered.space_words({**advice, "low": 1e-4, "high": 1e-4}) == "1e-4"
    assert mattered.space_words({**advice, "knob": "rank", "choices": (8, 16)}) == "8, 16"


@pytest.mark.parametrize(("n", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (7, "7th"), (11, "11th"), (22, "22nd")])
def test_places_in_words(n: int, words: str) -> None:
    assert mattered._ordinal(n) == words


def test_both_papers_belong_to_every_figure() -> None:
    assert (drawing.LIGHT.suffix, drawing.DARK.suffix) == ("", "-dark")
