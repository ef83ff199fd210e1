from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.domain import Judgement, Round, Sample
from bracket.report.sections import statistics
from bracket.report.summary import Duel, Pair, Summary
from bracket.report.writing.document import Bullets, Paragraph, Subheading, Table, Terms
from bracket.stats import config_claim, decide

Decide = Callable[..., Any]


def duel(differences: list[float]) -> Duel:
    """One sample seed a prompt; the baseline scores 0.5 everywhere."""

    def side(scores: list[float]) -> tuple[Judgement, ...]:
        return tuple(Judgement(Sample(Path(f"{i}.png"), f"p{i}", 1, 9), "clip", s, {}) for i, s in enumerate(scores))

    return Duel(side([0.5 + d for d in differences]), side([0.5] * len(differences)))


def with_evidence(
    finished: Summary, decide: Decide, differences: list[float], pairs: list[float], seeds: int = 2
) -> Summary:
    fought = duel(differences) if differences else None
    paired = tuple(Pair(1000 + i, 0.5 + d, 0.5) for i, d in enumerate(pairs))
    return replace(finished, duel=fought, pairs=paired, verdict=decide(fought, paired, seeds))


def said(summary: Summary) -> str:
    return " ".join(paragraph.text for paragraph in statistics.meaning(summary))


CLEAR = [0.10, 0.12, 0.08, 0.11, 0.09, 0.13, 0.07, 0.10]
MIXED = [0.03, -0.03, 0.02, -0.02, 0.01, -0.01, 0.04, -0.04]


def test_a_claim_about_settings_says_how_sure_and_what_it_leaves_open(finished: Summary, verdict_for: Decide) -> None:
    text = said(with_evidence(finished, verdict_for, CLEAR, [0.1, 0.12, 0.08, 0.11, 0.09]))
    assert "about the settings, not about one lucky file" in text
    assert "by chance in 3.1 % of such tests" in text
    assert "Not shown: that no other settings are better still" in text


def test_a_claim_about_a_file_is_not_worded_as_one_about_settings(finished: Summary, verdict_for: Decide) -> None:
    text = said(with_evidence(finished, verdict_for, CLEAR, [0.1, 0.12, 0.08]))
    assert text.startswith("This is about one trained LoRA file against another")
    assert "Not shown: that the settings win again" in text
    assert "5 pairs of fresh trainings would let it speak about the settings" in text, "the three there are don't count"


def test_no_difference_names_what_could_have_been_found(finished: Summary, verdict_for: Decide) -> None:
    summary = with_evidence(finished, verdict_for, MIXED, [])
    claim = summary.verdict.checkpoint
    assert claim.detectable is not None
    text = said(summary)
    assert text.startswith("That is a finding")
    assert f"8 fresh prompts find a true difference of {100 * claim.detectable:.1f} points in 80 % of cases" in text


def test_the_baseline_winning_is_said(finished: Summary, verdict_for: Decide) -> None:
    text = said(with_evidence(finished, verdict_for, [-d for d in CLEAR], []))
    assert "the baseline's LoRA file did better" in text


def test_nothing_tested_and_a_single_seed_are_said(finished: Summary, verdict_for: Decide) -> None:
    text = said(with_evidence(finished, verdict_for, [], [], seeds=1))
    assert "5 pairs of fresh trainings would let it speak about the settings" in text
    assert "chosen on a single training seed" in text


def test_a_search_that_is_not_over_claims_nothing(finished: Summary) -> None:
    assert "no winner" in said(replace(finished, winner=None))


@pytest.mark.parametrize(("pairs", "text"), [(0, "5 pairs"), (3, "5 pairs"), (4, "5 pairs")])
def test_what_more_pairs_would_buy(finished: Summary, verdict_for: Decide, pairs: int, text: str) -> None:
    summary = with_evidence(finished, verdict_for, CLEAR, [0.1, 0.12, 0.08, 0.11][:pairs])
    bullets = next(block for block in statistics.more_runs(summary) if isinstance(block, Bullets))
    assert bullets.items[0].startswith(text)
    # Every training of the fixture takes 21 s.
    assert bullets.items[0].endswith("A pair takes about 42 s here.")


def test_more_prompts_find_smaller_differences(finished: Summary, verdict_for: Decide) -> None:
    blocks = statistics.more_runs(with_evidence(finished, verdict_for, MIXED, []))
    rows = [row.cells for block in blocks if isinstance(block, Table) for row in block.rows]
    assert [name for name, _ in rows] == ["8 fresh prompts (as now)", "16 fresh prompts", "32 fresh prompts"]
    sizes = [float(size) for _, size in rows]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 1.8


def test_equal_scores_everywhere_are_no_error(finished: Summary, verdict_for: Decide) -> None:
    summary = with_evidence(finished, verdict_for, [0.0] * 8, [0.0] * 5)
    assert said(summary).startswith("That is a finding")
    assert statistics.more_runs(summary)
    assert statistics.claims(summary)


def test_the_two_claims_stand_apart(finished: Summary) -> None:
    headings = [block.text for block in statistics.claims(finished) if isinstance(block, Subheading)]
    assert headings == ["The LoRA file", "The settings"]


def test_welch_is_of_the_finals_alone(finished: Summary) -> None:
    table = next(block for block in statistics.descriptive(finished) if isinstance(block, Table))
    assert [row.cells[0] for row in table.rows] == ["baseline (lr 1e-4, rank 8)", "runner-up (lr 2e-3, rank 2)"]
    assert all(row.cells[1] == "2 and 2" for row in table.rows)
    assert table.rows[0].cells[2].startswith("+"), "the winner's score is the higher one"
    assert statistics.descriptive(replace(finished, rounds={Round.SEARCH: finished.rounds[Round.SEARCH]})) == []


def words(summary: Summary) -> str:
    found = []
    for block in statistics.claims(summary):
        if isinstance(block, Terms):
            found += [f"{term}: {text}" for term, text in block.items]
        elif isinstance(block, Paragraph):
            found.append(block.text)
    return "\n".join(found)


def test_the_effect_comes_before_how_sure_it_is(finished: Summary, verdict_for: Decide) -> None:
    text = words(with_evidence(finished, verdict_for, CLEAR, [0.1, 0.12, 0.08, 0.11, 0.09]))
    places = [text.index(term) for term in ("Won:", "Mean difference:", "Chance that", "How sure:")]
    assert places == sorted(places)
    assert "p = 0.008, two-sided sign-flip over prompts (exact); needs p ≤ 0.05" in text
    assert "needs p ≤ 0.04, because 0.01 was spent" in words(with_evidence(finished, verdict_for, [*CLEAR, 0.09], []))


def test_who_carries_the_conclusion_is_said(finished: Summary, verdict_for: Decide) -> None:
    assert "in 0 of 8: no single prompt carries it" in words(with_evidence(finished, verdict_for, CLEAR, []))
    six = words(with_evidence(finished, verdict_for, CLEAR[:6], []))
    assert "(that the winner's file is better) in 6 of 6: 'p0', 'p1', 'p2', …" in six


def test_how_a_duel_ended_is_said(finished: Summary) -> None:
    def told(differences: list[float], planned: int) -> str:
        claim = config_claim(differences, planned=planned)
        summary = replace(finished, duel=None, pairs=(), verdict=decide("w", "b", config=claim))
        return words(summary) + said(summary)

    won = told([0.03] * 8, 12)
    assert "Compared: 8 of 12 pairs of fresh trainings" in won
    assert "the e-value reached 100 at pair 8 of 12; it is 136 now" in won
    assert "by chance in at most 1.0 % of such tests" in won
    assert "+3.0 points (at least +3.0 points, 95 % sure)" in won
    assert "it ended after 1 of 5 pairs: whatever the rest had shown" in told([-0.03], 5)
    assert "stopped by hand after 3 of 8 pairs; e-value 6.0 of 100 needed" in told([0.03] * 3, 8)
    assert "e-value" not in told([0.03] * 3, 6)
    assert "too few for an interval" in told([0.022, -0.002], 5)


def test_further_comparisons_have_a_table(finished: Summary) -> None:
    claims = [config_claim([lead] * 6, comparisons=2) for lead in (0.03, -0.01)]
    summary = replace(finished, verdict=decide("w", "b", config=claims[0], other_configs={"runner_up": claims[1]}))
    table = [block for block in statistics.claims(summary) if isinstance(block, Table)][-1]
    assert table.rows[0].cells[:3] == ("runner-up", "the settings", "\N{MINUS SIGN}1.0")
    assert table.rows[0].cells[-1] == "not shown"
