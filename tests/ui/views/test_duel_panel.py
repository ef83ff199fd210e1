"""The duel's panel, from a session's folder alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bracket.cli.text import status_lines
from bracket.demo.shapes import caption
from bracket.domain import Judgement, Outcome, Round, Sample
from bracket.files import write_json, write_text
from bracket.session import view
from bracket.session.duel.plan import PLAN, DuelPlan
from bracket.session.evaluate import keep_judgements
from bracket.session.reading import duel as duel_view
from bracket.ui.views import duel_panel as duel
from tests.ui.made import FRESH, Maker, picture, quality

TEXTS = [caption(*s).replace("star", "zorp") for s in FRESH]
PROMPTS = tuple(f"{text}, take {n}" for n in range(2) for text in TEXTS)


def fought(
    runs: Path, name: str, prompts: Sequence[float], pairs: Sequence[float | None] = (), *, planned: int = 5
) -> Path:
    """A session in its duel: the winner's lead by prompt, and by pair (None: a crash)."""
    maker = Maker(runs, name)
    maker.search(count=4)
    maker.finals()
    winner, baseline = maker.config(9e-4), maker.config(1e-4)
    seeds = tuple(range(31, 31 + planned))
    plan = DuelPlan(
        winner=winner,
        baseline=baseline,
        alpha=0.05,
        prompts=PROMPTS,
        pictures=tuple((text, 500 + i) for i, text in enumerate(PROMPTS)),
        pairs=planned,
        training_seeds=seeds,
        rule="Looked at one after the other.",
    )
    write_json(maker.folder / PLAN, plan.as_dict())
    for arm, rate in (("winner", 9e-4), ("baseline", 1e-4)):
        folder = maker.folder / "confirm" / arm
        leads = [d if arm == "winner" else 0.0 for d in prompts]
        _judge(folder, [(t, s, 0.5 + d) for (t, s), d in zip(plan.pictures, leads, strict=False)], rate)
    for seed, lead in zip(seeds, pairs, strict=False):
        for origin, rate in (("baseline", 1e-4), ("winner", 9e-4)):
            crashed = lead is None and origin == "winner"
            trial = maker.trial(
                Round.CONFIRMATION,
                maker.config(rate),
                origin=origin,
                seed=seed,
                steps=200,
                outcome=Outcome.CRASHED if crashed else Outcome.OK,
            )
            score = 0.5 + (lead or 0.0) * (origin == "winner")
            _judge(trial.folder, [(*plan.pictures[0], score)], rate)
    maker.state("running", "confirmation", 10, message="The duel: fresh prompts, fresh seeds")
    maker.close()
    return maker.folder


def _judge(folder: Path, rows: Sequence[tuple[str, int, float]], rate: float) -> None:
    judgements = []
    for i, (text, seed, score) in enumerate(rows):
        path = folder / "samples" / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(i % len(FRESH), round(quality({"learning_rate": rate}), 2), True).save(path)
        judgements.append(Judgement(Sample(path, text, seed, 200), "clip", score, {}))
    keep_judgements(folder, judgements)


@pytest.fixture
def early(tmp_path: Path) -> view.SessionView:
    return view.read(fought(tmp_path, "early", (0.1, 0.2, -0.05)))


def test_there_is_no_panel_before_the_plan(runs: Path) -> None:
    assert duel.panel_html(None) == "" and duel.panel_html(view.read(runs / "zorp-live")) == ""


def test_effect_comes_first_then_the_evidence_with_its_real_threshold(early: view.SessionView) -> None:
    html = duel.panel_html(early)
    assert "Prompt 3 of 12: winner ahead in 2 of 3, mean +8.3 points." in html
    assert "200 decides" in html, "two-sided: a fifth of 5 %, halved"
    assert html.index("winner ahead") < html.index("e-value")
    assert html.count("<circle") == 4, "a dot a prompt, and the end of the path"
    assert "5 pairs to come" in html


def test_pictures_don_t_tell_whose_they_are_before_the_vote(early: view.SessionView) -> None:
    assert "<figcaption>winner" in duel.panel_html(early)
    sealed = duel.panel_html(early, sealed=True)
    assert "<figcaption>winner" not in sealed and sealed.count("one of the two") >= 2
    assert "<img" not in duel.panel_html(early, pictures=False)


def test_decided_and_hopeless_have_words(tmp_path: Path) -> None:
    seen = view.read(fought(tmp_path, "s", [0.2 + 0.01 * i for i in range(12)], (-0.1,)))
    html = duel.panel_html(seen)
    assert "Decided for the winner after 9 of 12 prompts; watching cost nothing" in html
    assert "With 0 of 1 won, no claim can be reached any more. Ended there: 4 pairs saved." in html


def test_a_crash_is_told_and_counts_as_the_worst(tmp_path: Path) -> None:
    seen = view.read(fought(tmp_path, "s", (), (0.1, None, 0.2), planned=6))
    found = duel_view.read(seen)
    assert found
    assert (found.fights[1].counted, found.fights[1].left_out, found.fights[1].lost) == (3, 0, 1)
    said = "1 pair with a training that was lost and counts as 0 (confirmation-0"
    html = duel.panel_html(seen)
    assert said in html and "crashed: the loss became infinite at step" in html


def test_a_duel_whose_winner_crashes_says_why(tmp_path: Path) -> None:
    html = duel.panel_html(view.read(fought(tmp_path, "s", (), (None,) * 5, planned=5)))
    assert "Pair 1 of 5: winner ahead in 0 of 1" in html and "was lost and counts as 0 (confirmation-0" in html
    assert "crashed: the loss became infinite" in html and "to come" not in html


def test_a_duel_too_small_to_be_decided_early_shows_no_threshold(tmp_path: Path) -> None:
    html = duel.panel_html(view.read(fought(tmp_path, "s", (), (0.1, 0.2))))
    said = "The exact test decides at the end of the 5 pairs; watching can't decide before.".replace("'", "&#x27;")
    assert said in html
    assert "decides</" not in html and "inf" not in html and "no e-value" not in html


def test_the_exact_test_speaks_at_the_planned_end(tmp_path: Path) -> None:
    seen = view.read(fought(tmp_path, "s", (), (0.1, 0.2, 0.1, 0.3, 0.2)))
    assert "All 5 pairs are there. Exact test: p = 0.031, where 0.05 or less is a finding." in duel.panel_html(seen)


def test_status_has_a_line_of_the_duel(early: view.SessionView) -> None:
    (line,) = [line for line in status_lines(early) if line.startswith("The duel:")]
    assert line.startswith("The duel: Prompt 3 of 12: winner ahead in 2 of 3, mean +8.3 points. e-value ")


def test_a_poll_reads_only_what_changed(early: view.SessionView, monkeypatch: pytest.MonkeyPatch) -> None:
    first = duel_view.read(early)
    monkeypatch.setattr(duel_view, "_read", lambda *_: pytest.fail("it was read again"))
    assert duel_view.read(early) is first


def test_a_damaged_plan_is_said_in_the_panel(early: view.SessionView) -> None:
    write_text(early.folder / PLAN, "{}")
    assert "the plan of the duel is damaged" in duel.panel_html(early)


def test_prompts_are_escaped(tmp_path: Path) -> None:
    folder = fought(tmp_path, "s", (0.1,))
    for path in (folder / PLAN, *(folder / "confirm").glob("*/judgements.jsonl")):
        write_text(path, path.read_text().replace(PROMPTS[0], "<script>alert(1)</script>"))
    assert "<script>" not in duel.panel_html(view.read(folder))
