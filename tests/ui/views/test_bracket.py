"""The drawn tournament and a trial looked at, without a browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.cli.text import status_lines
from bracket.domain import Outcome, Round, Score
from bracket.errors import SettingsError
from bracket.session import view
from bracket.session.reading.bracket import Drawing, lay_out
from bracket.ui.monitor import trial as trial_view
from bracket.ui.shared import outcome
from bracket.ui.views import bracket as bracket_view
from bracket.ui.views import cards as bracket_cards
from tests.ui.made import PROMPTS


def tree(session: view.SessionView, *, sparks: bool = False) -> str:
    return bracket_cards.html(bracket_view.drawing(session), session.verdict, sparks=sparks)[0]


def cards(html: str) -> list[str]:
    return re.findall(r'<button type="button" class="card .*?</button>', html, re.DOTALL)


def card(html: str, trial: str) -> str:
    return next(c for c in cards(html) if f'data-trial="{trial}"' in c)


def test_every_config_has_a_card_in_each_round_it_was_in(done: view.SessionView) -> None:
    html = tree(done)
    assert len(cards(html)) == 12 + 7 + 4 + 4 + 2 + 1
    heads = [re.sub(r"<.*?>", "", h) for h in re.findall(r"<header.*?</header>", html)]
    assert heads == [
        "Rung 1 30 steps · 12 configs7 went on, 5 out",
        "Rung 2 60 steps · 7 configs4 went on, 3 out",
        "Rung 3 120 steps · 4 configs4 went on, 0 out",
        "Finals 200 steps · 2 seeds2 went on, 2 out",
        "Duel 5 fresh pairs · 200 stepswinner against baseline",
        "Winner ",
    ]


def test_lines_run_from_a_lanes_first_card_to_its_last(done: view.SessionView) -> None:
    html = tree(done)
    ways = re.findall(r'class="way([^"]*)" data-key="way/([^"]*)" style="grid-area:(\d+)/1/span 1/span (\d)"', html)
    assert ways[0][0] == " won"
    assert [int(row) for _, _, row, _ in ways] == list(range(2, 14)), "each in its own row, so none can cross"
    assert [int(wide) for *_, wide in ways] == [5, 5, 4, 4, 2, 2, 2, 1, 1, 1, 1, 1]


def test_the_winners_card_tells_the_verdict(done: view.SessionView) -> None:
    html = tree(done)
    assert "lr 9e-4 wins. Its pictures beat" in html.split('data-key="champion"')[1]
    assert "**" not in html


def test_cards_say_who_goes_on_and_who_is_out(done: view.SessionView) -> None:
    html = tree(done)
    assert "7th, out" in html
    melted = card(html, "search-007")
    assert " failed" in melted and "melted" in melted
    assert "the loss became infinite at step 21" in melted


def test_finals_show_how_sure_they_are(done: view.SessionView) -> None:
    words = re.findall(r'title="(mean [^"]*)"', tree(done))
    assert len(words) == 4
    assert re.fullmatch(r"mean \d+\.\d, from \d+\.\d to \d+\.\d over 2 seeds; further right is better", words[0])


def test_card_table_overlay_and_command_line_say_the_same_score(done: view.SessionView) -> None:
    column = outcome.TABLE.index("Score")
    rows = {str(row[0]): row for row in outcome.table_rows(done)}
    won, baseline = (next(t for t in done.trials if t.id == id_) for id_ in ("search-2-001", "search-2-000"))
    assert won.score and baseline.score and won.score.total < baseline.score.total
    for trial in (won, baseline):
        assert trial.score
        told = f"{100 * (1 - trial.score.total):.1f}"
        assert f'<span class="score">{told}</span>' in card(tree(done), trial.id)
        assert str(rows[trial.id][column]) == told
        assert f"<b>{told}</b>" in trial_view.told(done, trial.id)["more"]
        assert any(trial.id in line and f"score {told}" in line for line in status_lines(done))
    assert rows[won.id][column] > rows[baseline.id][column], "the better is the higher"  # type: ignore[operator]


def test_the_duel_counts_its_pairs(done: view.SessionView) -> None:
    html = tree(done)
    assert "won 5 of 5" in html and "won 0 of 5" in html


def test_no_card_shows_a_picture_that_a_person_may_still_vote_on(done: view.SessionView) -> None:
    html = "".join(bracket_cards.html(bracket_view.drawing(done), done.verdict))
    faces = re.findall(r'<img class="frame" loading="lazy" src="([^"]+)"', html)
    assert faces and not [f for f in faces if "confirm" in f]
    duel = [c for c in cards(html) if 'data-trial="confirmation-' in c]
    assert len(duel) == 3, "the two arms and the winner's card open what they stand for"
    assert all("/finals-" in c for c in duel)


def test_while_a_pair_of_the_duel_trains_its_cards_show_the_finals(done: view.SessionView) -> None:
    first = next(t.id for t in done.trials if t.round is Round.CONFIRMATION)
    trials = [replace(t, outcome=None, score=None) if t.id == first else t for t in done.trials]
    html = tree(replace(done, trials=tuple(trials), state="running", phase="confirmation", verdict=""))
    assert [f for f in re.findall(r'src="([^"]+)"', html) if "confirm" in f] == []


def test_a_running_rung_has_places_for_all_that_is_planned(live: view.SessionView) -> None:
    html = tree(live, sparks=True)
    assert len(cards(html)) == 8
    slots = re.findall(r'data-key="slot/(\d)/', html)
    assert [slots.count(str(n)) for n in range(5)] == [4, 7, 4, 4, 2]
    assert 'data-spark="search-000"' in html
    assert 'data-spark="search-000"' not in tree(live), "no chart feeds small curves in Results"


def test_what_changes_each_second_is_not_in_the_drawing(live: view.SessionView) -> None:
    first = bracket_view.told(live, "")
    assert first["now"] == {"search-007/0": ["training 21/30", 0.7]}
    trials = [replace(t, step=t.step + 3) if t.outcome is None else t for t in live.trials]
    again = bracket_view.told(replace(live, trials=tuple(trials)), first["stamp"])
    assert again == {"stamp": first["stamp"], "now": {"search-007/0": ["training 24/30", 0.8]}}


def test_a_trial_that_ends_changes_the_drawing(live: view.SessionView) -> None:
    first = bracket_view.told(live, "")
    ended = [replace(t, outcome=Outcome.CRASHED, cause="no space") if t.outcome is None else t for t in live.trials]
    again = bracket_view.told(replace(live, trials=tuple(ended)), first["stamp"])
    assert "no space" in again["tree"] and again["now"] == {}


def many(done: view.SessionView, count: int) -> view.SessionView:
    first = next(t for t in done.trials if t.score is not None)
    trials = [
        replace(
            first,
            id=f"search-{n:03d}",
            origin="baseline" if n == 0 else "tpe",
            config={"rank": n},
            score=Score(n / count, n / count, n / count),
        )
        for n in range(count)
    ]
    return replace(done, trials=tuple(trials), state="running", phase="search", verdict="")


def test_those_that_went_out_first_are_small_faces(done: view.SessionView) -> None:
    session = many(done, 200)
    html, groups = bracket_cards.html(bracket_view.drawing(session), session.verdict)
    assert len(cards(html)) <= bracket_cards.MOST + 1
    assert groups.count('class="tile ') == 200 - len(cards(html))
    assert "more went out after 30 steps" in groups


def test_ten_thousand_configs_are_not_ten_thousand_cards(done: view.SessionView) -> None:
    session = many(done, 10_000)
    html, groups = bracket_cards.html(bracket_view.drawing(session), session.verdict)
    assert groups.count('class="tile ') == bracket_cards.MOST_FACES
    assert "are not drawn: the table in Results lists every trial" in groups
    assert len(html) + len(groups) < 300_000


@pytest.mark.parametrize(
    ("n", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (22, "22nd"), (113, "113th")]
)
def test_ordinals(n: int, words: str) -> None:
    assert bracket_cards.ordinal(n) == words


def test_a_trial_is_told_in_full(done: view.SessionView) -> None:
    told = trial_view.told(done, "search-2-001")
    assert told["title"] == "lr 9e-4, rank 8"
    assert told["pictures"].count("<img") == 2 * len(PROMPTS)
    assert told["pictures"].index("step 60") < told["pictures"].index("step 30")
    assert told["curves"] == ["search-2-001", "search-2-000"], "beside the baseline's of the same rung"
    assert told["siblings"].count("<button") == 3 + 2 + 5
    assert told["siblings"].count("aria-current") == 1
    more = told["more"]
    assert "1 setting unlike the baseline" in more and "<b>9e-4</b>" in more
    assert "adherence" in more and "likeness" in more
    assert "trained on from search-" in more
    assert "python -m bracket.training" in more


def test_a_failed_trial_is_told_with_its_cause_and_log(done: view.SessionView) -> None:
    told = trial_view.told(done, "search-007")
    assert "step 21 loss nan" in told["more"]
    assert "search-007/logs/trainer.log" in told["more"]
    assert "No pictures: the loss became infinite at step 21." in told["pictures"]


def test_a_trial_before_its_launch_has_no_command(done: view.SessionView, tmp_path: Path) -> None:
    waiting = replace(done.trials[0], id="search-099", folder=tmp_path, samples=(), outcome=None, score=None, notes=())
    told = trial_view.told(replace(done, trials=(*done.trials, waiting)), "search-099")
    assert "once the trial is launched" in told["more"]
    assert told["ended"] is False


def test_a_trial_that_is_not_there(done: view.SessionView) -> None:
    with pytest.raises(SettingsError, match="has no trial 'search-999'"):
        trial_view.told(done, "search-999")


def test_made_sessions_go_through_all_rounds(done: view.SessionView) -> None:
    assert {(t.round, t.rung) for t in done.trials} == {
        (Round.SEARCH, 0),
        (Round.SEARCH, 1),
        (Round.SEARCH, 2),
        (Round.FINALS, 0),
        (Round.CONFIRMATION, 0),
    }


def test_an_unchanged_session_is_drawn_once_for_all_pages(
    live: view.SessionView, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def counted(session: view.SessionView, *given: Any, **more: Any) -> Drawing:
        drawn.append(session.verdict)
        return lay_out(session, *given, **more)

    monkeypatch.setattr("bracket.ui.views.bracket.lay_out", counted)
    session = replace(live, phase="prepare")
    first = [bracket_view.told(session, "", sparks=sparks) for sparks in (False, True)]
    stepped = [replace(t, step=t.step + 3) if t.outcome is None else t for t in session.trials]
    again = bracket_view.told(replace(session, trials=tuple(stepped), done=7), first[0]["stamp"])
    assert len(drawn) == 1 and first[0]["stamp"] != first[1]["stamp"]
    assert again["now"] == {"search-007/0": ["training 24/30", 0.8]}
    bracket_view.told(replace(session, verdict="It wins."), "")
    bracket_view.told(replace(session, trials=session.trials[:-1]), "")
    assert len(drawn) == 3
