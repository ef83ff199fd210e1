"""What is kept of what the base could: in report and certificate, and what a forger may not do about it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from bracket.domain import Judgement, Sample
from bracket.report.claims import certificate
from bracket.report.claims.evidence import plan_of
from bracket.report.claims.scores import Rules, claims_of, kept_of
from bracket.report.figures import plots as figures
from bracket.report.sections import contents, statistics
from bracket.report.summary import Plain, Summary
from bracket.report.writing.document import Document, Paragraph, Pictures, Table
from bracket.stats.duel.verdict import decide
from tests.report.claims.test_certificate import verify
from tests.report.conftest import BASELINE, LABEL, SETTINGS, WINNER, World

TEXTS = tuple(
    f"a {size} red {shape} on a blue background" for size in ("big", "small") for shape in ("circle", "ring", "cross")
)
LEVELS = {"winner": 0.5, "baseline": 0.8, "base": 0.8}


def drawn(world: World, side: str) -> tuple[Judgement, ...]:
    found = []
    for i, text in enumerate(TEXTS):
        path = world.picture(world.folder / "confirm" / side / f"plain-{i}.png", WINNER, text)
        path.write_bytes(path.read_bytes() + f"{side} {i}".encode())
        found.append(Judgement(Sample(path, text, 900 + i, 120), "clip", LEVELS[side], {"adherence": LEVELS[side]}))
    return tuple(found)


def keeping(world: World, at_least: int = 0) -> Summary:
    made = world.summary(pairs=0)
    plain = Plain(*(drawn(world, side) for side in LEVELS))
    plan = {
        **plan_of(made),
        "plain": [[j.sample.prompt, j.sample.seed] for j in plain.base],
        "keep_at_least": at_least,
        "pictures": [[j.sample.prompt, j.sample.seed] for j in made.duel.winner] if made.duel else [],
        "winner": dict(WINNER),
        "baseline": dict(BASELINE),
    }
    settings = {**SETTINGS, "confirmation": {"alpha": 0.05, "keep_at_least": at_least}}
    verdict = decide(
        LABEL,
        "baseline",
        **claims_of(made.duel, (), Rules.of(plan)).arguments,
        training_seeds=2,
        kept=kept_of(plain, plan),
    )
    return replace(made, plan=plan, plain=plain, verdict=verdict, settings=settings, base_score=0.36)


@pytest.fixture
def summary(world: World) -> Summary:
    return keeping(world, at_least=90)


@pytest.fixture
def content(summary: Summary) -> dict[str, Any]:
    return certificate.build(summary)


def document_of(summary: Summary) -> Document:
    return contents.compose(summary, figures.plots(summary))


def test_the_report_shows_base_baseline_and_winner_beside_each_other(summary: Summary) -> None:
    document = document_of(summary)
    blocks = next(s for s in document.sections if s.id == "kept").blocks
    (table,) = (b for b in blocks if isinstance(b, Table))
    assert [row.cells[:3] for row in table.rows] == [
        ("Base, without any LoRA", "80.0", "–"),
        ("Baseline", "80.0", "100 %"),
        ("Winner", "50.0", "62 %"),
    ]
    (grid,) = (b for b in blocks if isinstance(b, Pictures))
    assert [row.label for row in grid.rows] == ["Base", "Baseline", "Winner"] and len(grid.columns) == 6
    (warning,) = (b.text for b in blocks if isinstance(b, Paragraph) and b.tone == "warning")
    assert "keeps 62 % of what the base could" in warning and "90 % were asked, so it is not recommended" in warning
    assert document.headline.endswith("; not recommended, as it keeps 62 % of what the base could and 90 % were asked.")
    assert not document.found and summary.verdict.kind == "checkpoint", "the claim stands by itself"
    assert ("62 %", "of what the base could is kept") in [(f.value, f.name) for f in statistics.facts(summary.verdict)]


def test_how_good_the_baseline_is_stands_beside_the_base_and_the_winner(summary: Summary) -> None:
    (said,) = (b.text for b in document_of(summary).blocks() if isinstance(b, Paragraph) and "on average" in b.text)
    assert said.startswith("In the finals the baseline's pictures are judged ")
    assert "on average, the bare base's 36.0 and the winner's 8" in said


def test_without_such_prompts_nothing_is_said(finished: Summary) -> None:
    assert "kept" not in [s.id for s in document_of(finished).sections]
    assert "keep" not in certificate.build(finished)


def test_a_guard_that_can_not_be_told_is_no_recommendation(world: World) -> None:
    untold = keeping(world, at_least=90)
    untold = replace(untold, plain=None, verdict=replace(untold.verdict, kept=kept_of(None, untold.plan)))
    (warning,) = next(s for s in document_of(untold).sections if s.id == "kept").blocks
    assert isinstance(warning, Paragraph) and "was not told; 90 % were asked" in warning.text


def test_a_certificate_with_what_is_kept_holds(summary: Summary, content: dict[str, Any]) -> None:
    assert verify(content, summary, sealed=False) == []


def test_forgeries_of_what_is_kept_do_not_hold(summary: Summary, content: dict[str, Any]) -> None:
    better = {
        **content,
        "keep": {**content["keep"], "winner": [{**r, "score": 0.8} for r in content["keep"]["winner"]]},
    }
    assert any("verdict.kept.winner.share" in line for line in verify(better, summary))
    without = {k: v for k, v in content.items() if k != "keep"}
    assert any("nobody knows what was kept" in line for line in verify(without, summary))
    fewer = {**content, "keep": {side: rows[1:] for side, rows in content["keep"].items()}}
    assert any("without the trigger word are not those of the plan" in line for line in verify(fewer, summary))
    chosen = {**content, "choosing": {**content["choosing"], "prompts": [TEXTS[0]]}}
    assert any("took part in choosing" in line for line in verify(chosen, summary))


def test_the_bases_pictures_as_the_winners_are_caught(summary: Summary) -> None:
    def copies(one: Summary) -> int:
        """How many more are told than the first; pictures of this world's duel are some of them."""
        told = certificate.check_pictures(certificate.write(one, one.folder / "report"))[0]
        return int(re.search(r"and (\d+) more like it", told)[1])  # type: ignore[index]

    assert summary.plain is not None
    for ours, theirs in zip(summary.plain.winner, summary.plain.base, strict=True):
        ours.sample.path.write_bytes(theirs.sample.path.read_bytes())
    copied = copies(summary)
    for number, ours in enumerate(summary.plain.winner):
        ours.sample.path.write_bytes(ours.sample.path.read_bytes() + bytes([number]))
    assert copied - copies(summary) == len(TEXTS)
