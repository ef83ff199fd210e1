from __future__ import annotations

import re
from pathlib import Path

import pytest

from bracket.domain import Judgement, Preference, Sample
from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges import Judge
from bracket.judges.people.human import HumanJudge, aligned, preferences_from_scores
from bracket.judges.people.votes import VoteBook
from bracket.stats import agreement, corrected_rate

Arms = dict[str, list[Sample]]


def sample(folder: Path, arm: str, number: int) -> Sample:
    path = folder / arm / f"{number}.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"picture")
    return Sample(path, f"prompt {number}", number, 10)


@pytest.fixture
def arms(tmp_path: Path) -> Arms:
    return {arm: [sample(tmp_path, arm, i) for i in range(4)] for arm in ("one", "two", "three")}


@pytest.fixture
def book(tmp_path: Path, arms: Arms) -> VoteBook:
    return VoteBook(tmp_path, arms, seed=3)


def prefer(book: VoteBook, order: list[str], only: str = "") -> None:
    """Votes on every pair (of arms in `only`) for the arm that comes first in `order`."""
    while pair := book.next_pair():
        left, right = pair.left.parent.name, pair.right.parent.name
        if only and only not in (left, right):
            return
        book.record(pair, float(order.index(left) < order.index(right)))


def test_it_is_a_judge(book: VoteBook) -> None:
    judge: Judge = HumanJudge(book)
    assert (judge.name, judge.exclusive, judge.score([]), judge.compare([])) == ("human", False, [], [])
    judge.park()
    judge.close()


def test_scores_are_shares_of_votes_won_by_the_samples_arm(book: VoteBook, arms: Arms) -> None:
    prefer(book, ["two", "one", "three"])
    judge = HumanJudge(book)
    found = judge.score([arms["three"][0], arms["two"][1], arms["one"][2], arms["one"][3]])
    assert [j.score for j in found] == [0.0, 1.0, 0.5, 0.5]
    assert found[0] == Judgement(arms["three"][0], "human", 0.0, {}, how="share of 8 votes")


def test_ties_are_half_a_win(tmp_path: Path, arms: Arms) -> None:
    del arms["three"]
    book = VoteBook(tmp_path, arms)
    for value in (0.5, 0.5, 0.5, None):
        pair = book.next_pair()
        assert pair is not None
        book.record(pair, float(pair.left.parent.name == "one") if value is None else value)
    scores = [j.score for j in HumanJudge(book).score([arms["one"][0], arms["two"][0]])]
    assert scores == [2.5 / 4, 1.5 / 4]


def test_an_arm_nobody_voted_on_waits(book: VoteBook, tmp_path: Path, arms: Arms) -> None:
    judge = HumanJudge(book)
    with pytest.raises(JudgeUnavailable, match="nobody has voted on these pictures yet") as caught:
        judge.score(arms["one"])
    assert caught.value.path is None
    prefer(VoteBook(tmp_path, {arm: arms[arm] for arm in ("one", "two")}, seed=3), ["one", "two"])
    assert [j.score for j in judge.score(arms["two"])] == [0.0] * 4
    with pytest.raises(JudgeUnavailable):
        judge.score([*arms["one"], *arms["three"]])


def test_a_picture_of_no_arm_is_named(book: VoteBook, tmp_path: Path, arms: Arms) -> None:
    prefer(book, ["one", "two", "three"])
    stranger = sample(tmp_path, "four", 0)
    with pytest.raises(JudgeError, match="not one of those voted on") as caught:
        HumanJudge(book).score([arms["one"][0], stranger])
    assert caught.value.path == stranger.path and not isinstance(caught.value, JudgeUnavailable)


def test_comparing_answers_from_the_votes_either_way_round(book: VoteBook, arms: Arms) -> None:
    prefer(book, ["two", "one", "three"])
    judge = HumanJudge(book)
    one, two, three = (arms[name][2] for name in ("one", "two", "three"))
    pairs = [(one, two), (two, one), (three, one), (one, one)]
    assert judge.compare(pairs) == [
        Preference(a, b, "human", value) for (a, b), value in zip(pairs, (0.0, 1.0, 0.0, 0.5), strict=True)
    ]


def test_a_pair_nobody_voted_on_waits(book: VoteBook, arms: Arms) -> None:
    with pytest.raises(JudgeUnavailable, match=re.escape("nobody has voted on 0.png against 0.png yet")):
        HumanJudge(book).compare([(arms["one"][0], arms["one"][0]), (arms["one"][0], arms["two"][0])])


def test_its_fingerprint_changes_with_the_votes(book: VoteBook) -> None:
    judge = HumanJudge(book)
    before = judge.fingerprint
    prefer(book, ["one", "two", "three"])
    assert before.startswith("human-") and judge.fingerprint != before
    changed = judge.fingerprint
    book.undo()
    assert judge.fingerprint not in (before, changed)


def test_remarks_count(book: VoteBook, arms: Arms) -> None:
    pair = book.next_pair()
    assert pair is not None
    book.record(pair, 0.5)
    judge = HumanJudge(book)
    assert judge.remarks() == ["A person voted on 1 of 12 pairs and saw no difference in 1."]
    voted = pair.key
    next(s.path for s in arms["one"] if s.path not in voted and s.prompt != pair.prompt).unlink()
    assert judge.remarks()[1] == "2 pairs could not be voted on: a picture of theirs is gone."


def test_votes_are_turned_as_the_judges_pairs_are(arms: Arms) -> None:
    one, two = arms["one"], arms["two"]
    model = [
        Preference(one[0], two[0], "m", 1.0),
        Preference(two[1], one[1], "m", 0.5),
        Preference(one[2], two[2], "m", 0.0),
        Preference(two[0], one[0], "m", 0.5),
    ]
    votes = [
        Preference(one[2], two[2], "human", 1.0),
        Preference(one[1], two[1], "human", 1.0),
        Preference(one[3], two[3], "human", 0.0),
    ]
    found = aligned(model, votes)
    assert (found.judged, found.votes, found.voted) == ((1.0, 0.5, 0.0), (0.0, 1.0), (1, 2))
    assert found.judged_where_voted == (0.5, 0.0)
    checked = agreement(found.judged_where_voted, found.votes)
    assert (checked.votes, checked.judge_ties, checked.opposed) == (2, 1, 1)
    assert corrected_rate(found.judged, found.votes, found.voted).votes_alone == 0.5
    assert aligned([], votes).voted == () == aligned(model, []).votes


def test_the_higher_score_wins(arms: Arms) -> None:
    one, two = arms["one"], arms["two"]
    scores = [
        Judgement(s, "clip", score, {}) for s, score in zip([*one[:2], *two[:2]], (0.9, 0.2, 0.4, 0.202), strict=True)
    ]
    pairs = [(one[0], two[0]), (two[0], one[0]), (one[1], two[1]), (one[2], two[2]), (one[0], two[2])]
    found = preferences_from_scores(scores, pairs)
    assert [(p.a, p.b, p.value, p.judge) for p in found] == [
        (one[0], two[0], 1.0, "clip"),
        (two[0], one[0], 0.0, "clip"),
        (one[1], two[1], 0.5, "clip"),
    ]
