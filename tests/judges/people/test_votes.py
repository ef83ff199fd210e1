from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import threading
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest

from bracket.domain import Sample
from bracket.environment import child_env
from bracket.errors import JudgeError, StorageError
from bracket.files import append_json
from bracket.judges.people.votes import FILE, Shown, Vote, VoteBook, matching_pairs, read_votes

Arms = dict[str, list[Sample]]


def drawn(folder: Path, arm: str, prompts: int = 6, seeds: int = 1) -> list[Sample]:
    """Samples whose files hold a few bytes: votes never open them."""
    found = []
    for prompt in range(prompts):
        for seed in range(seeds):
            path = folder / "confirm" / arm / f"{prompt}-{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"picture")
            found.append(Sample(path, f"a “zorb” no. {prompt}", seed, 100))
    return found


@pytest.fixture
def arms(tmp_path: Path) -> Arms:
    return {"winner": drawn(tmp_path, "winner"), "baseline": drawn(tmp_path, "baseline")}


@pytest.fixture
def book(tmp_path: Path, arms: Arms) -> VoteBook:
    return VoteBook(tmp_path, arms, seed=7, clock=lambda: 12.5)


def shown(book: VoteBook) -> Shown:
    found = book.next_pair()
    assert found is not None
    return found


def vote_all(book: VoteBook, value: float) -> list[Shown]:
    seen = []
    while pair := book.next_pair():
        book.record(pair, value)
        seen.append(pair)
    return seen


def test_pairs_are_of_one_prompt_and_seed_and_of_different_arms(tmp_path: Path) -> None:
    one, two, three = (drawn(tmp_path, arm, prompts=2, seeds=2) for arm in ("one", "two", "three"))
    pairs = matching_pairs({"one": one[1:], "two": two[::-1], "three": three[:3]})
    assert all((a.prompt, a.seed) == (b.prompt, b.seed) for a, b in pairs)
    assert Counter((a.path.parent.name, b.path.parent.name) for a, b in pairs) == {
        ("one", "two"): 3,
        ("one", "three"): 2,
        ("two", "three"): 3,
    }
    assert len({frozenset((a.path, b.path)) for a, b in pairs}) == 8


def test_repeated_draws_are_paired_in_order(tmp_path: Path) -> None:
    ours = [*drawn(tmp_path, "w-run1", 1), *drawn(tmp_path, "w-run2", 1)]
    theirs = [*drawn(tmp_path, "b-run1", 1), *drawn(tmp_path, "b-run2", 1), *drawn(tmp_path, "b-run3", 1)]
    assert matching_pairs({"w": ours, "b": theirs}) == [(ours[0], theirs[0]), (ours[1], theirs[1])]
    assert matching_pairs({"w": ours, "same": ours}) == []


def test_every_pair_is_shown_once(book: VoteBook, arms: Arms) -> None:
    seen = vote_all(book, 1)
    assert {s.key for s in seen} == {frozenset((a.path, b.path)) for a, b in matching_pairs(arms)}
    assert len(seen) == 6 and book.next_pair() is None
    assert all(s.prompt == sample.prompt for s in seen for sample in arms["winner"] if sample.path in s.key)


def test_what_is_shown_names_no_arm() -> None:
    assert [field.name for field in fields(Shown)] == ["prompt", "seed", "left", "right"]


def test_order_and_sides_are_random_by_seed_and_the_same_after_a_restart(tmp_path: Path) -> None:
    arms = {"winner": drawn(tmp_path, "winner", 40), "baseline": drawn(tmp_path, "baseline", 40)}

    def sequence(seed: int, given: Arms) -> list[Shown]:
        book = VoteBook(tmp_path, given, seed)
        return [shown(book) for _ in range(40)]

    first = sequence(1, arms)
    assert first == sequence(1, {arm: samples[::-1] for arm, samples in arms.items()})
    second = sequence(2, arms)
    assert [s.key for s in first] != [s.key for s in second]
    assert [s.prompt for s in first] != [s.prompt for s in arms["winner"]]
    sides = {s.key: s.left for s in second}
    assert 8 <= sum(sides[s.key] == s.left for s in first) <= 32
    assert 8 <= sum(s.left.parent.name == "winner" for s in first) <= 32


def test_a_page_opened_before_the_arms_were_listed_otherwise_is_still_right(tmp_path: Path, arms: Arms) -> None:
    old = VoteBook(tmp_path, arms, seed=7)
    new = VoteBook(tmp_path, {arm: arms[arm] for arm in reversed(arms)}, seed=7)
    pair = shown(old)
    assert new.record(pair, 1).shown_swapped is not (pair.right.parent.name == "winner")
    assert old.votes()[0].key == pair.key


def test_a_vote_is_kept_as_a_line_with_paths_inside_the_session(book: VoteBook, tmp_path: Path) -> None:
    pair = shown(book)
    vote = book.record(pair, 0)
    swapped = pair.left.parent.name == "baseline"
    assert vote == Vote(pair.prompt, pair.seed, pair.left, pair.right, 0.0, 12.5, swapped)
    (line,) = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {
        "prompt": pair.prompt,
        "seed": pair.seed,
        "left": pair.left.relative_to(tmp_path).as_posix(),
        "right": pair.right.relative_to(tmp_path).as_posix(),
        "value": 0,
        "at": 12.5,
        "shown_swapped": swapped,
    }
    assert read_votes(tmp_path) == [vote] == book.votes()


def test_votes_move_with_the_folder(book: VoteBook, tmp_path: Path) -> None:
    pair = shown(book)
    book.record(pair, 1)
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.copy(tmp_path / FILE, moved)
    (vote,) = read_votes(moved)
    assert vote.left == moved / pair.left.relative_to(tmp_path)


def test_a_picture_outside_the_session_keeps_its_place(tmp_path: Path) -> None:
    arms = {"a": drawn(tmp_path / "elsewhere", "a", 1), "b": drawn(tmp_path / "elsewhere", "b", 1)}
    book = VoteBook(tmp_path / "session", arms)
    assert [v.key for v in (book.record(shown(book), 1),)] == [v.key for v in read_votes(tmp_path / "session")]


def test_undo_takes_the_last_vote_back_and_shows_its_pair_again(book: VoteBook, tmp_path: Path) -> None:
    first, second = shown(book), shown(book)
    book.record(first, 1)
    book.record(second, 0)
    before = (tmp_path / FILE).read_bytes()
    assert book.undo() == second
    assert (tmp_path / FILE).read_bytes().startswith(before)
    assert [v.key for v in book.votes()] == [first.key]
    book.record(second, 0.5)
    assert [(v.key, v.value) for v in book.votes()] == [(first.key, 1.0), (second.key, 0.5)]
    assert [book.undo(), book.undo(), book.undo()] == [second, first, None]
    assert read_votes(tmp_path) == [] and book.progress().voted == 0


def test_undo_goes_by_when_the_vote_was_cast(book: VoteBook) -> None:
    first, second = shown(book), shown(book)
    book.record(first, 1)
    book.record(second, 1)
    book.undo()
    book.undo()
    book.record(second, 1)
    book.record(first, 1)
    assert book.undo() == first


def test_an_undone_pair_comes_next(book: VoteBook, arms: Arms, tmp_path: Path) -> None:
    pair = shown(book)
    book.record(pair, 1)
    book.undo()
    assert VoteBook(tmp_path, arms, seed=7).next_pair() == pair


def test_a_pair_given_out_and_not_voted_on_comes_last(book: VoteBook) -> None:
    skipped = shown(book)
    seen = vote_all(book, 1)
    assert seen[-1] == skipped and len(seen) == 6


def test_two_pages_that_vote_on_one_pair_count_once(book: VoteBook, arms: Arms, tmp_path: Path) -> None:
    other = VoteBook(tmp_path, arms, seed=7)
    pair = shown(book)
    assert shown(other) == pair
    first = book.record(pair, 1)
    assert other.record(pair, 0) == first
    assert book.votes() == [first] and len((tmp_path / FILE).read_bytes().splitlines()) == 1


def test_votes_that_crossed_count_once_and_one_undo_takes_both_back(book: VoteBook, tmp_path: Path) -> None:
    pair = shown(book)
    first = book.record(pair, 1)
    line = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    append_json(tmp_path / FILE, {**line, "value": 0})
    append_json(tmp_path / FILE, {**line, "left": line["right"], "right": line["left"]})
    assert book.votes() == [first]
    book.undo()
    assert book.votes() == []


def test_an_undo_on_two_pages_at_once_takes_back_one_vote(book: VoteBook, tmp_path: Path) -> None:
    first, second = shown(book), shown(book)
    book.record(first, 1)
    book.record(second, 1)
    book.undo()
    append_json(tmp_path / FILE, json.loads((tmp_path / FILE).read_bytes().splitlines()[-1]))
    assert [v.key for v in book.votes()] == [first.key]


def test_threads_never_get_or_count_a_pair_twice(tmp_path: Path) -> None:
    arms = {"winner": drawn(tmp_path, "winner", 40), "baseline": drawn(tmp_path, "baseline", 40)}
    book = VoteBook(tmp_path, arms)
    seen: list[Shown] = []

    def person() -> None:
        for _ in range(10):
            pair = shown(book)
            seen.append(pair)
            book.record(pair, 1)

    people = [threading.Thread(target=person) for _ in range(4)]
    for thread in people:
        thread.start()
    for thread in people:
        thread.join()
    assert len({s.key for s in seen}) == 40 == book.progress().voted


@pytest.mark.slow
def test_processes_never_tear_each_others_lines(tmp_path: Path) -> None:
    drawn(tmp_path, "winner", 30), drawn(tmp_path, "baseline", 30)
    code = """
import sys
from pathlib import Path
from bracket.domain import Sample
from bracket.judges.people.votes import VoteBook
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
arms = {a: [Sample(folder / "confirm" / a / f"{i}-0.png", str(i), 0, 1) for i in range(30)]
        for a in ("winner", "baseline")}
book = VoteBook(folder, arms, seed)
while pair := book.next_pair():
    book.record(pair, 1)
"""
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(seed)], env=child_env()) for seed in (1, 2)
    ]
    assert [process.wait(60) for process in running] == [0, 0]
    assert len(read_votes(tmp_path)) == 30
    for line in (tmp_path / FILE).read_bytes().splitlines():
        json.loads(line)


def test_a_half_written_line_is_left_out_and_voting_goes_on(book: VoteBook, tmp_path: Path) -> None:
    first, second = shown(book), shown(book)
    book.record(first, 1)
    book.record(second, 1)
    data = (tmp_path / FILE).read_bytes()
    end = data.index(b"\n") + 1
    for cut in range(end + 1, len(data) - 1):
        (tmp_path / FILE).write_bytes(data[:cut])
        assert [v.key for v in book.votes()] == [first.key]
    book.record(second, 0)
    assert [(v.key, v.value) for v in book.votes()] == [(first.key, 1.0), (second.key, 0.0)]


@pytest.mark.parametrize(
    "change",
    [
        {"value": 0.7},
        {"value": "NaN"},
        {"value": None},
        {"seed": "x"},
        {"seed": float("inf")},
        {"shown_swapped": 1},
        {"left": "same", "right": "same"},
        {"undo": 3},
    ],
)
def test_a_line_that_is_no_vote_is_left_out_and_logged(
    book: VoteBook, tmp_path: Path, change: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    first = book.record(shown(book), 1)
    line = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    other = {**line, "left": "x.png", "right": "y.png"}
    with (tmp_path / FILE).open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(bad) + "\n" for bad in ({**other, **change}, {"prompt": "x"}, [], 3, "undo", None))
    with caplog.at_level(logging.WARNING):
        assert read_votes(tmp_path) == [first]
    assert sum("is no vote" in r.message for r in caplog.records) == 6
    append_json(tmp_path / FILE, other)
    assert len(read_votes(tmp_path)) == 2 and book.votes() == [first]


def test_no_votes_yet(tmp_path: Path, arms: Arms) -> None:
    assert read_votes(tmp_path / "nowhere") == []
    empty = VoteBook(tmp_path, {"winner": arms["winner"], "baseline": []})
    assert (empty.next_pair(), empty.undo(), empty.preferences()) == (None, None, [])


def test_pairs_whose_picture_vanished_are_passed_over_and_counted(book: VoteBook, arms: Arms) -> None:
    voted = shown(book)
    book.record(voted, 1)
    voted.left.unlink()
    gone = [s.path for s in arms["winner"] if s.path not in voted.key][:2]
    for path in gone:
        path.unlink()
    progress = book.progress()
    assert (progress.voted, progress.total, progress.missing) == (1, 6, 2)
    seen = vote_all(book, 0.5)
    assert len(seen) == 3 and not any(path in s.key for s in seen for path in gone)
    progress = book.progress()
    assert (progress.voted, progress.ties, progress.missing) == (4, 3, 2)


def test_a_vote_on_a_picture_that_vanished_meanwhile_still_counts(book: VoteBook) -> None:
    pair = shown(book)
    pair.left.unlink()
    book.record(pair, 1)
    assert book.progress().voted == 1


@pytest.mark.parametrize("value", [0.7, -1, 2, float("nan")])
def test_a_vote_is_one_of_three(book: VoteBook, tmp_path: Path, value: float) -> None:
    with pytest.raises(JudgeError, match=r"a vote is 0, 0\.5 or 1"):
        book.record(shown(book), value)
    assert not (tmp_path / FILE).exists()


def test_only_what_was_shown_can_be_voted_on(book: VoteBook, tmp_path: Path) -> None:
    pair = shown(book)
    turned = replace(pair, left=pair.right, right=pair.left)
    for wrong in (turned, replace(pair, left=tmp_path / "other.png"), replace(pair, prompt="another")):
        with pytest.raises(JudgeError, match="not one to vote on"):
            book.record(wrong, 1)
    assert not (tmp_path / FILE).exists()


def test_a_file_that_cannot_be_read_is_told(book: VoteBook, tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StorageError):
        book.next_pair()


def test_preferences_speak_of_the_earlier_arm_whatever_the_sides(book: VoteBook, arms: Arms, tmp_path: Path) -> None:
    cast = {}
    while pair := book.next_pair():
        winner_left = pair.left.parent.name == "winner"
        cast[pair.prompt] = "012345".index(pair.prompt[-1]) % 3 / 2
        book.record(pair, cast[pair.prompt] if winner_left else 1 - cast[pair.prompt])
    found = book.preferences()
    assert {p.a.prompt: p.value for p in found} == cast and len(set(cast.values())) == 3
    assert all((p.a in arms["winner"], p.b in arms["baseline"], p.judge) == (True, True, "human") for p in found)
    turned = VoteBook(tmp_path, {arm: arms[arm] for arm in reversed(arms)}, seed=7).preferences()
    assert {p.a.prompt: 1 - p.value for p in turned} == cast


def test_the_fingerprint_changes_with_every_vote_and_not_with_the_order(tmp_path: Path, arms: Arms) -> None:
    def after(*values: float) -> str:
        (tmp_path / FILE).unlink(missing_ok=True)
        book = VoteBook(tmp_path, arms, seed=7)
        for pair, value in [(shown(book), v) for v in values]:
            book.record(pair, value)
        return book.fingerprint()

    assert len({after(), after(1), after(0), after(1, 1), after(1, 0.5)}) == 5
    assert after(1, 0) == after(1, 0)
