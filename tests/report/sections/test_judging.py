"""What a report says of its judge."""

from __future__ import annotations

from dataclasses import replace

from bracket.report.sections.judging import judging
from bracket.report.summary import Calibration, Summary
from bracket.report.writing.document import Bullets, Paragraph, Table
from bracket.stats.people.agreement import agreement, gate
from bracket.stats.people.bradley_terry import rank_pairs
from bracket.stats.people.correction import corrected_rate


def _text(summary: Summary) -> str:
    return " ".join(b.text for b in judging(summary) if isinstance(b, Paragraph))


def _calibration(agreed: int, votes: int) -> Calibration:
    judged, voted = (1.0,) * votes, (1.0,) * agreed + (0.0,) * (votes - agreed)
    found = agreement(judged, voted)
    return Calibration(judged, voted, found, gate(found), corrected_rate([1.0] * 40, voted, list(range(votes))))


def test_without_votes_it_says_that_nobody_checked(finished: Summary) -> None:
    assert "Nobody voted" in _text(finished)


def test_votes_give_agreement_with_its_interval_the_gate_and_the_corrected_share(finished: Summary) -> None:
    text = _text(replace(finished, calibration=_calibration(18, 20)))
    assert "The judge is better than chance: it agreed with 18 of your 20 votes." in text
    assert "agrees with you on 90 % of 20 pairs" in text and "68–99 %" in text
    assert "By the judge alone the winner takes 100 %" in text and "Corrected by your votes" in text


def test_a_judge_at_chance_may_not_crown(finished: Summary) -> None:
    assert "may not crown a winner" in _text(replace(finished, calibration=_calibration(11, 20)))


def test_finalists_side_by_side_and_remarks(finished: Summary) -> None:
    prompts = [f"p{i}" for i in range(8)]
    ranking = rank_pairs(["lr 1e-3", "lr 1e-4"], [("lr 1e-3", "lr 1e-4", 1.0)] * 8, prompts)
    blocks = judging(replace(finished, ranking=ranking, flip_rate=0.25, remarks=("2 of 90 questions refused",)))
    (table,) = [b for b in blocks if isinstance(b, Table)]
    assert table.rows[0].cells[1] == "lr 1e-3"
    assert any(isinstance(b, Bullets) and "refused" in b.items[0] for b in blocks)
    assert "The order of showing decided 25 %" in " ".join(b.text for b in blocks if isinstance(b, Paragraph))
