"""Added duels in verdict, report and certificate, of a session built in code."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.report.claims import certificate
from bracket.report.claims.added import newest_pairs, p_at, tries, weigh
from bracket.report.claims.again import alpha_after
from bracket.report.claims.evidence import hash_of, plan_of
from bracket.report.claims.scores import Rules, claims_of
from bracket.report.sections import statistics
from bracket.report.summary import Addition, Summary
from bracket.report.writing.document import Bullets, Paragraph, Table
from bracket.stats.duel.verdict import Verdict
from tests.report.conftest import LABEL


def with_additions(summary: Summary, *sizes: int, lose: tuple[int, ...] = ()) -> Summary:
    """The summary's pairs as duels of these sizes, one after the other; the baseline leads on the seeds to `lose`."""
    pairs = [replace(p, winner=p.baseline - 0.1) if p.seed in lose else p for p in summary.pairs]
    plans: list[dict[str, Any]] = []
    groups = []
    for size in sizes:
        mine, pairs = tuple(pairs[:size]), pairs[size:]
        alpha = alpha_after(plans) if plans else 0.05
        own: dict[str, Any] = {"prompts": [], "pictures": []} if plans else {}
        seeds = [p.seed for p in mine]
        plans.append({**plan_of(summary), **own, "alpha": alpha, "training_seeds": seeds, "comparisons": ["baseline"]})
        groups.append(mine)
    additions = tuple(Addition(plan, group) for plan, group in zip(plans[1:], groups[1:], strict=True))
    made = replace(summary, plan=plans[0], pairs=groups[0], additions=additions)
    claims = claims_of(made.duel, made.pairs, Rules.of(plans[0]))
    terms: dict[str, Any] = {"training_seeds": 2, "alpha": 0.05}
    return replace(made, verdict=weigh(LABEL, "baseline", claims, additions, **terms))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """A session with 13 pairs of fresh trainings; only to be read."""
    from tests.report.conftest import World

    return World(tmp_path_factory.mktemp("long") / "zorb").summary(pairs=13)


def _held(summary: Summary, folder: Path) -> list[str]:
    return certificate.verify(certificate.write(summary, folder / "report"))


def _verdict(summary: Summary) -> tuple[str, float | None, int]:
    verdict: Verdict = summary.verdict
    assert verdict.config is not None
    return verdict.kind, verdict.config_p, verdict.config.pairs


def test_the_newest_duel_speaks_for_the_settings_and_counts_its_own_pairs(long: Summary, tmp_path: Path) -> None:
    few = with_additions(long, 2, 5)
    assert _verdict(few) == ("config", 1 / 32, 5)
    assert few.verdict.config and few.verdict.config.alpha == 0.04, "two pairs could claim nothing and spent nothing"
    assert newest_pairs(few) == few.additions[0].pairs and _held(few, tmp_path) == []


def test_a_second_try_is_held_to_a_tenth_and_a_third_to_half_of_that(long: Summary, tmp_path: Path) -> None:
    lost = with_additions(long, 5, 8, lose=(1002,))
    assert lost.verdict.config and (lost.verdict.config.alpha, lost.verdict.config_p) == (0.005, 1 / 256)
    assert lost.verdict.kind == "config" and lost.verdict.alpha == 0.05, "the files are held to what they were"
    claims = [claim for _, claim in tries(lost) if claim]
    assert [claim.alpha for claim in claims] == [0.05, 0.005] and p_at(lost, 0) == claims[0].p_greater > 0.05
    (said,) = _held(lost, tmp_path)
    assert said.startswith("Seed 1002: the winner's mean score"), "all else holds: here one pair's score was made up"
    twice = with_additions(long, 5, 8, lose=(1002, 1007))
    assert twice.verdict.kind != "config"
    assert alpha_after([plan for plan, _ in tries(twice)]) == 0.0025


def test_an_addition_without_a_pair_leaves_the_verdict_as_it_was(long: Summary, tmp_path: Path) -> None:
    begun = with_additions(long, 2, 5)
    begun = replace(begun, additions=(replace(begun.additions[0], pairs=()),))
    claims = claims_of(begun.duel, begun.pairs, Rules.of(begun.plan or {}))
    verdict = weigh(LABEL, "baseline", claims, begun.additions, training_seeds=2, alpha=0.05)
    assert verdict.config is not None and verdict.config.pairs == 2
    begun = replace(begun, verdict=verdict)
    assert newest_pairs(begun) == begun.pairs and _held(begun, tmp_path) == []


def test_the_report_keeps_what_came_before(long: Summary) -> None:
    def said(summary: Summary) -> tuple[str, list[tuple[str, ...]]]:
        blocks = statistics.claims(summary)
        text = " ".join(b.text for b in blocks if isinstance(b, Paragraph))
        return text, [
            row.cells for b in blocks if isinstance(b, Table) and b.columns[0] == "Earlier duel" for row in b.rows
        ]

    text, rows = said(with_additions(long, 5, 8, lose=(1002,)))
    assert "An earlier duel of 5 pairs ended without a claim; this one" in text and "held to p ≤ 0.005" in text
    assert [(cells[0], cells[1]) for cells in rows] == [("5 pairs", "0.05")] and "needs p ≤ 0.05" in rows[0][3]
    text, rows = said(with_additions(long, 2, 5))
    assert "too small for any claim and spent nothing" in text and rows[0][3] == "too few pairs for a claim"
    text, rows = said(with_additions(long, 0, 5))
    assert "arlier duel" not in text and rows == [], "nothing was planned, so nothing came before"


def test_what_more_pairs_take_is_said_with_what_they_are_held_to(long: Summary) -> None:
    def bullets(summary: Summary) -> str:
        return " ".join(next(b for b in statistics.more_runs(summary) if isinstance(b, Bullets)).items)

    assert "alpha of 0.0025 and takes at least 9 of them" in bullets(with_additions(long, 5, 8, lose=(1002, 1007)))
    assert "prove" not in bullets(with_additions(long, 5, 8, lose=(1002,))), "they are proved"


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: c["additions"][0]["plan"].update(alpha=0.05),
            "has an alpha of 0.05; the duels before it leave 0.005",
        ),
        (lambda c: c["additions"][0]["plan"]["training_seeds"].__setitem__(0, 1000), "training seed 1000 of duel 2"),
        (lambda c: c["additions"][0]["plan"]["training_seeds"].__setitem__(0, 42), "training seed 42 of duel 2"),
        (lambda c: c["additions"][0]["plan"].update(winner={"rank": 1}), "compares other settings than the first"),
        (lambda c: c["additions"][0]["plan"].update(comparisons=["baseline", "runner_up"]), "more comparisons"),
        (lambda c: c["additions"][0]["pairs"].reverse(), "of duel 2 are not those of its plan"),
        (lambda c: c["additions"][0]["pairs"][0].update(winner=0.2), "the winner's mean score is given as 0.2"),
        (lambda c: c["additions"][0]["claim"].update(p_greater=0.001), "gives additions.0.claim.p_greater as 0.001"),
        (lambda c: c["first_claim"].update(pairs=4), "gives first_claim.pairs as 4"),
        (lambda c: c.update(additions=[]), "verdict.config"),
        (lambda c: c["additions"][0].update(plan_sha256="0"), "The plan of duel 2 was changed after it was hashed"),
    ],
)
def test_every_change_is_named(long: Summary, change: Change, said: str) -> None:
    content = certificate.build(with_additions(long, 5, 8, lose=(1002,)))
    change(content)
    for row in content["additions"]:
        row["plan_sha256"] = hash_of(row["plan"]) if row["plan_sha256"] != "0" else "0"
    content["seal"] = hash_of({key: value for key, value in content.items() if key != "seal"})
    path = long.folder / "forged" / "certificate.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    assert any(said in line for line in certificate.verify(path)), certificate.verify(path)
