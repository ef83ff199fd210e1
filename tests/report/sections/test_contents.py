from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bracket.domain import Outcome, Round, mean
from bracket.report.figures import plots as figures
from bracket.report.material import pictures, tables
from bracket.report.sections import contents
from bracket.report.summary import Summary
from bracket.report.writing.document import Code, Document, Fold, Paragraph, Table
from bracket.stats.duel.verdict import decide


@pytest.fixture(scope="module")
def document(finished: Summary) -> Document:
    return contents.compose(finished, figures.plots(finished))


def section(document: Document, id: str) -> Any:
    return next(section for section in document.sections if section.id == id)


def test_the_verdict_comes_first_and_the_method_last(document: Document) -> None:
    assert document.headline.startswith("lr 1e-3, rank 8 wins: trained afresh with 5 new seeds, it is judged 8")
    assert [s.id for s in document.sections] == [
        "settings", "pictures", "scores", "failures", "loss", "mattered", "statistics", "judge", "more", "how",
    ]  # fmt: skip


def test_verdict_tables_and_figures_have_one_scale_and_one_direction(finished: Summary, document: Document) -> None:
    assert finished.winner and finished.baseline and finished.verdict.config
    lead = finished.verdict.config.mean_difference
    headline = re.search(r"judged (\d+\.\d), the baseline (\d+\.\d)", document.headline)
    assert headline is not None
    ours, theirs = map(float, headline.groups())
    assert ours - theirs == pytest.approx(100 * lead, abs=0.11), "of two rounded to a tenth"
    assert f"judged {100 * lead:.1f} points higher" in document.sections[6].blocks[0].text  # type: ignore[union-attr]
    assert document.facts[3].value == f"+{100 * lead:.1f}"

    finals = tables.ranking_table(finished, finished.rounds[Round.FINALS])
    place, told = finals.columns.index("Score"), finals.columns.index("Judged")
    rows = {row.tone: row.cells for row in finals.rows}
    for at in (place, told, finals.columns.index("Adherence")):
        assert 0 < float(rows["baseline"][at]) < float(rows["winner"][at]) <= 100
    assert float(rows["winner"][told]) == pytest.approx(
        100 * mean([r.axes["adherence"] for r in finished.winner.results]), abs=0.06
    )
    worst, best = map(float, rows["winner"][place + 1].split("–"))
    assert worst < float(rows["winner"][place]) < best


def test_settings_that_differ_come_first(finished: Summary) -> None:
    rows = tables.settings_table(finished).rows
    assert [row.cells[:3] for row in rows] == [("learning rate", "1e-3", "1e-4"), ("rank", "8", "8")]
    assert [row.tone for row in rows] == ["", "muted"]


def test_the_command_can_be_copied(document: Document, finished: Summary) -> None:
    codes = [block.text for block in section(document, "settings").blocks if isinstance(block, Code)]
    assert codes == [" ".join(finished.command)]


def test_each_round_has_its_own_table(document: Document, finished: Summary) -> None:
    found = [block for block in section(document, "scores").blocks if isinstance(block, Table)]
    assert [len(table.rows) for table in found] == [len(rows) for rows in finished.rounds.values()] == [9, 3, 2]
    assert "Lowest–highest" not in found[0].columns
    assert "Lowest–highest" in found[1].columns


def test_one_seed_is_said_to_be_one(document: Document) -> None:
    notes = [b.text for b in section(document, "scores").blocks if isinstance(b, Paragraph) and b.tone == "note"]
    assert len(notes) == 1
    assert "a single seed" in notes[0]


def test_a_failed_trial_has_no_place_and_keeps_its_reason(document: Document, finished: Summary) -> None:
    last = tables.ranking_table(finished, finished.rounds[Round.SEARCH]).rows[-1]
    assert (last.cells[0], last.cells[4], last.cells[-1], last.tone) == ("–", "–", "melted", "failed")
    blocks = section(document, "failures").blocks
    assert blocks[1].rows[0].cells[1:] == ("lr 1e-1, rank 2", "melted", "The loss became NaN at step 14")
    assert isinstance(blocks[2], Fold)


def test_some_seeds_failing_is_counted(finished: Summary) -> None:
    ranked = finished.rounds[Round.FINALS][0]
    hung = replace(ranked.results[0], outcome=Outcome.HUNG, score=None)
    table = tables.ranking_table(finished, [replace(ranked, results=(hung, ranked.results[1]))])
    assert table.rows[0].cells[-1] == "1 of 2 hung"


def test_the_grid_keeps_prompt_and_seed_in_their_column(finished: Summary) -> None:
    grid = pictures.before_and_after(finished)
    assert grid is not None
    assert [row.label.split(":")[0] for row in grid.rows] == [
        "Baseline", "Winner", "Lowest learning rate", "Highest learning rate",
    ]  # fmt: skip
    assert grid.columns == finished.prompts
    for row in grid.rows:
        assert [path.name for path in row.pictures if path] == [f"{i:03d}-s100.png" for i in range(4)]
    # The highest learning rate that left pictures: the one above it diverged.
    assert "4e-2" in grid.rows[3].label
    assert grid.rows[1].detail == "Finals, 200 steps, training seed 42"


def test_the_bare_base_comes_first(finished: Summary) -> None:
    samples = finished.rounds[Round.SEARCH][0].results[0].samples
    grid = pictures.before_and_after(replace(finished, before=samples))
    assert grid is not None
    assert grid.rows[0].label.startswith("Before")
    assert grid.rows[0].pictures == tuple(sample.path for sample in samples)
    # Drawn from other starting noise, its pictures would not belong in these columns.
    other = pictures.before_and_after(replace(finished, before=tuple(replace(s, seed=7) for s in samples)))
    assert other is not None
    assert other.rows[0].label.startswith("Baseline")


def test_the_duel_runs_from_the_clearest_win_to_the_clearest_loss(finished: Summary) -> None:
    grid = pictures.duel_pictures(finished)
    assert grid is not None
    assert len(grid.columns) == pictures.COLUMNS < len(finished.verdict_prompts)
    baseline, winner = grid.rows
    assert (baseline.label, winner.label) == ("Baseline", "Winner")
    assert all(path and "confirm/winner" in path.as_posix() for path in winner.pictures)


def test_a_session_still_searching_has_a_report(finished: Summary) -> None:
    search = finished.rounds[Round.SEARCH]
    summary = replace(
        finished, rounds={Round.SEARCH: search}, winner=None, baseline=None, duel=None, pairs=(),
        verdict=decide("", "baseline"), command=(),
    )  # fmt: skip
    document = contents.compose(summary, figures.plots(summary))
    assert document.headline == "No winner yet."
    assert document.facts == ()
    assert [s.id for s in document.sections] == ["scores", "failures", "loss", "mattered", "judge", "more", "how"]


def test_a_baseline_that_nothing_beat_has_a_report(finished: Summary) -> None:
    best = replace(finished, winner=finished.baseline, duel=None, pairs=(), verdict=decide("b", "b", training_seeds=2))
    document = contents.compose(best, figures.plots(best))
    assert document.headline.startswith("Nothing beat the baseline")
    assert not document.found
    grid = pictures.before_and_after(best)
    assert grid is not None
    assert len([row for row in grid.rows if "learning rate" not in row.label]) == 1


def test_a_verdict_about_a_file_heads_with_its_win_rate(finished: Summary, verdict_for: Callable[..., Any]) -> None:
    summary = replace(finished, pairs=(), verdict=verdict_for(finished.duel, ()))
    document = contents.compose(summary, ())
    assert "beat the baseline's in" in document.headline
    assert "of 16 fresh picture pairs" in document.headline


def test_a_label_too_long_for_a_headline_stays_in_the_tables(finished: Summary) -> None:
    assert finished.winner is not None
    summary = replace(finished, winner=replace(finished.winner, label="x" * 61))
    assert contents.compose(summary, ()).headline.startswith("The search's best config wins: trained afresh")


def test_no_trial_at_all_is_no_error(finished: Summary) -> None:
    empty = replace(
        finished, rounds={}, winner=None, baseline=None, duel=None, pairs=(), verdict=decide("", "b"), seconds={},
        prompts=(), verdict_prompts=(), versions={}, dataset={}, warnings=(), settings={},
    )  # fmt: skip
    assert figures.plots(empty) == []
    assert contents.compose(empty, ()).headline == "No winner yet."
