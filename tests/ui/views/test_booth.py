"""The blind vote as a page asks for it, without a browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bracket.domain import Judgement, Preference, Round
from bracket.files import append_json
from bracket.judges import judgement_to_json
from bracket.session import view
from bracket.ui.monitor import tab as monitor
from bracket.ui.monitor import trial as trial_view
from bracket.ui.results import tab as results
from bracket.ui.results import xyz
from bracket.ui.shared import outcome
from bracket.ui.shared.context import Context
from bracket.ui.views import booth as vote
from tests.ui.made import FRESH, PROMPTS


@pytest.fixture
def folder(own: Path) -> Path:
    return own


@pytest.fixture
def booth(folder: Path) -> vote.Booth:
    return vote.Booth(Context(folder.parent))


def cast(booth: vote.Booth, pair: dict[str, Any], value: float, want: int = 1) -> dict[str, Any]:
    return booth.say({"session": "zorp", "token": pair["token"], "value": value, "want": want})


def side_of(booth: vote.Booth, pair: dict[str, Any], arm: str) -> float:
    """The value that votes for this arm's picture."""
    return float(arm in booth._shown[pair["token"]].left.parts)


def test_pairs_are_the_duels_and_before_it_the_finals(folder: Path) -> None:
    done = view.read(folder)
    arms = vote.arms_of(done)
    assert isinstance(arms, vote.Arms)
    assert arms.names == ("winner", "baseline")
    assert len(vote.pairs_of(done)) == len(FRESH)
    for path in (folder / "confirm").rglob("*.jsonl"):
        path.unlink()
    arms = vote.arms_of(done)
    assert isinstance(arms, vote.Arms)
    assert arms.names == ("best of the finals", "baseline")
    # Two training seeds, each with one picture a prompt.
    assert len(vote.pairs_of(done)) == 2 * len(PROMPTS)
    early = replace(done, trials=tuple(t for t in done.trials if t.round is Round.SEARCH))
    assert vote.arms_of(early) == "A vote needs the finals: it is held between their best settings and the baseline."


def test_a_page_gets_pictures_and_no_word_of_whose_they_are(booth: vote.Booth, folder: Path) -> None:
    told = booth.ballot({"session": "zorp", "want": 3})
    assert (told["voted"], told["total"], told["aim"], len(told["pairs"])) == (0, 6, 6, 3)
    text = json.dumps(told)
    assert "winner" not in text and "baseline" not in text and str(folder) not in text and ".png" not in text
    pictures = {p.read_bytes() for p in (folder / "confirm").rglob("*.png")}
    for pair in told["pairs"]:
        left, right = (base64.b64decode(pair[side]["src"].partition(",")[2]) for side in ("left", "right"))
        assert left != right and {left, right} <= pictures


def test_votes_are_kept_at_once_and_undone(booth: vote.Booth, folder: Path) -> None:
    pairs = booth.ballot({"session": "zorp", "want": 3})["pairs"]
    for pair in pairs:
        told = cast(booth, pair, 1.0)
    assert told["voted"] == 3
    back = booth.take_back({"session": "zorp"})
    assert back["voted"] == 2
    assert [p["token"] for p in back["pairs"]] == [pairs[2]["token"]]
    for other in (vote.Booth(Context(folder.parent)), booth):
        again = other.ballot({"session": "zorp", "want": 6})
        assert again["voted"] == 2, "a reloaded page goes on where this one was"
        assert len({p["token"] for p in again["pairs"]}) == len(again["pairs"]) == 4


def test_pairs_ahead_are_never_the_same_and_run_out(booth: vote.Booth) -> None:
    waiting = booth.ballot({"session": "zorp", "want": 3})["pairs"]
    seen = []
    while waiting:
        pair = waiting.pop(0)
        seen.append(pair["token"])
        known = {p["token"] for p in waiting}
        waiting += [p for p in cast(booth, pair, 0.5, want=3 - len(waiting))["pairs"] if p["token"] not in known]
    assert len(seen) == len(set(seen)) == 6


def test_a_token_of_nobody_is_refused_in_words(booth: vote.Booth, folder: Path) -> None:
    assert "not one to vote on" in cast(booth, {"token": "0"}, 1.0)["error"]
    assert "no session called 'gone'" in booth.ballot({"session": "gone", "want": 1})["words"], "the page escapes it"
    assert not (folder / "votes.jsonl").exists()


def test_what_the_votes_say_is_counted_by_hand(folder: Path) -> None:
    arms = vote.arms_of(view.read(folder))
    assert isinstance(arms, vote.Arms)
    theirs = {(s.prompt, s.seed): s for s in arms.samples[1]}
    votes = [
        Preference(s, theirs[s.prompt, s.seed], "human", value)
        for s, value in zip(arms.samples[0], (1.0, 1.0, 1.0, 0.0, 0.5, 0.5), strict=True)
    ]
    html = vote.told_html(arms, votes)
    assert "<b>67 %</b> for the winner" in html, "three and two halves of six"
    assert "3 votes for it, 1 for the baseline, 2 no difference" in html
    assert "has not scored these pictures yet" in html
    judged(folder, arms)
    html = vote.told_html(arms, votes)
    assert "agrees with you in 75 % of 4 votes" in html, "it prefers the winner throughout"
    assert "was not checked: 4 votes told a difference, 20 are needed" in html
    assert vote.told_html(arms, []) == ""


def judged(folder: Path, arms: vote.Arms) -> None:
    for name, samples, score in (("winner", arms.samples[0], 0.9), ("baseline", arms.samples[1], 0.4)):
        place = folder / "confirm" / name
        for sample in samples:
            append_json(place / "judgements.jsonl", judgement_to_json(Judgement(sample, "clip", score, {}), place))


def test_what_is_voted_on_stays_folded_until_it_was(booth: vote.Booth, folder: Path) -> None:
    shown = view.read(folder)
    before = results.stamp(shown)
    assert not vote.voted(shown)
    folded = outcome.before_after_html(shown, outcome.duel_of(shown), sealed=True)
    assert folded.startswith('<details class="sealed"><summary>On fresh prompts')
    assert folded.index("</details>") < folded.index("Before and after")
    for pair in booth.ballot({"session": "zorp", "want": 6})["pairs"]:
        cast(booth, pair, side_of(booth, pair, "winner"))
    assert vote.voted(shown)
    assert results.stamp(shown) != before
    assert "<b>100 %</b> for the winner" in booth.told({"session": "zorp"})


def fresh_trial(done: view.SessionView) -> str:
    return next(t.id for t in done.trials if t.round is Round.CONFIRMATION)


def grid_of(done: view.SessionView, x: str | None = None, stage: str | None = None) -> str:
    return str(xyz.shown(done, xyz.Grids(), None, x, None, None, stage, None)[5])


LABELLED: dict[str, Callable[[view.SessionView], str]] = {
    "a trial looked at": lambda done: trial_view.told(done, fresh_trial(done))["pictures"],
    "Monitor's newest trial": lambda done: monitor.samples_html(done, monitor.NEWEST),
    "the grid of the duel": lambda done: grid_of(done, stage="confirmation, 200 steps"),
    "the grid of all rounds": lambda done: grid_of(done, x="round"),
    "side by side": lambda done: results.compared(done, [fresh_trial(done)])[0],
}


@pytest.mark.parametrize("place", LABELLED)
def test_the_duels_pictures_with_their_names_stay_folded_until_a_person_voted(
    place: str, booth: vote.Booth, folder: Path
) -> None:
    def shown() -> str:
        return LABELLED[place](view.read(folder))

    before = shown()
    folded = before[before.index("<details") : before.index("</details>")]
    assert "until you have voted" in folded and before.count("<img") == folded.count("<img") > 0
    grids = xyz.stamp_of(view.read(folder))
    for pair in booth.ballot({"session": "zorp", "want": 6})["pairs"]:
        cast(booth, pair, 1.0)
    after = shown()
    assert "<details" not in after and after.count("<img") == before.count("<img")
    assert xyz.stamp_of(view.read(folder)) != grids, "the open page's grid unfolds too"


def test_what_is_not_of_the_duel_is_not_folded(folder: Path) -> None:
    done = view.read(folder)
    html, _, slider, _ = results.compared(done, ["finals-000", "finals-001"])
    assert "<details" not in html + grid_of(done) + trial_view.told(done, "finals-000")["pictures"]
    assert slider["visible"] is True
    assert results.compared(done, ["finals-000", fresh_trial(done)])[2]["visible"] is False, "nor slid over each other"
