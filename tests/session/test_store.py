"""The ledger: begun, told, killed in between, damaged."""

from __future__ import annotations

import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pytest

from bracket.domain import SCALES, Outcome, Round, Score, TrialResult, Wanted
from bracket.errors import StorageBusy, StorageError
from bracket.presets import find_preset
from bracket.session.store import Store, _told

PRESET = find_preset("embedded-demo")
KNOBS = PRESET.knob_list()


def _begin(store: Store, round_: Round = Round.SEARCH, origin: str = "baseline"):  # type: ignore[no-untyped-def]
    return store.begin(Wanted(round_, origin, PRESET.baseline, 7, 10), KNOBS)


def test_a_result_comes_back_as_it_was_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trial = _begin(store)
    told = TrialResult(
        trial,
        Outcome.OK,
        score=Score(0.25, 0.5, 0.1),
        validation_loss=0.3,
        train_seconds=4.5,
        axes={"likeness": 0.8},
        checkpoint=trial.folder / "checkpoints" / "final",
    )
    store.finish(told)
    store.close()
    assert Store(tmp_path).results(Round.SEARCH) == [told]
    assert _told(told)["scales"] == SCALES, "the ledger keeps 0..1 and says that lower is better"


def test_telling_twice_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trial = _begin(store)
    store.finish(TrialResult(trial, Outcome.OK, score=Score(0.25, 0.5, 0.1)))
    store.finish(TrialResult(trial, Outcome.CRASHED, cause="told by mistake"))
    assert [r.outcome for r in store.results(Round.SEARCH)] == [Outcome.OK]


def test_failures_are_kept_with_their_cause_and_no_score(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for outcome in (Outcome.DIVERGED, Outcome.CRASHED):
        store.finish(TrialResult(_begin(store), outcome, cause=f"it {outcome}"))
    assert [(r.outcome, r.cause, r.score) for r in store.results(Round.SEARCH)] == [
        (Outcome.DIVERGED, "it diverged", None),
        (Outcome.CRASHED, "it crashed", None),
    ]


def test_rounds_are_kept_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ids = [_begin(store, r).id for r in (Round.SEARCH, Round.FINALS, Round.SEARCH)]
    assert ids == ["search-000", "finals-000", "search-001"]


def test_a_proposal_that_was_killed_before_it_was_described_is_void(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store._study(Round.SEARCH).ask()
    assert store.open_trials(Round.SEARCH) == []
    assert store.results(Round.SEARCH) == [] and store.begun(Round.SEARCH) == []


def test_a_begun_trial_is_open_until_it_is_told(tmp_path: Path) -> None:
    trial = _begin(Store(tmp_path))
    assert Store(tmp_path).open_trials(Round.SEARCH) == [trial]


def test_a_damaged_ledger_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"not a database, by any means" * 100)
    with pytest.raises(StorageError, match="may be damaged"):
        Store(tmp_path)


def test_readers_may_open_a_ledger_while_it_is_made(tmp_path: Path) -> None:
    at_once = threading.Barrier(4)

    def opened(_: int) -> int:
        at_once.wait()
        store = Store(tmp_path)
        found = len(store.results(Round.SEARCH))
        store.close()
        return found

    with ThreadPoolExecutor(4) as readers:
        assert list(readers.map(opened, range(4))) == [0] * 4


def test_a_reader_that_stays_sees_what_another_tells_in_the_order_it_began(tmp_path: Path) -> None:
    writer, reader = Store(tmp_path), Store(tmp_path)
    trials = [_begin(writer) for _ in range(3)]
    assert reader.open_trials(Round.SEARCH) == trials and reader.results(Round.SEARCH) == []
    for trial in (trials[2], trials[0]):
        writer.finish(TrialResult(trial, Outcome.OK, score=Score(0.25, 0.5, 0.1)))
    reader.close()  # it may let go of the file in between
    assert [r.trial for r in reader.results(Round.SEARCH)] == [trials[0], trials[2]]
    assert reader.open_trials(Round.SEARCH) == [trials[1]] and reader.begun(Round.SEARCH) == trials
    finals = _begin(writer, Round.FINALS)
    reader.close()
    assert reader.begun(Round.FINALS) == [finals]


def test_a_trial_killed_between_the_two_words_that_tell_it_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trial = _begin(store)
    told = TrialResult(trial, Outcome.OK, score=Score(0.25, 0.5, 0.1))
    (frozen,) = store._study("search").get_trials()
    store._storage.set_trial_user_attr(frozen._trial_id, "result", _told(told))
    again = Store(tmp_path)
    assert again.results(Round.SEARCH) == []
    assert again.open_trials(Round.SEARCH) == [] and again.results(Round.SEARCH) == [told]


def test_what_is_read_is_what_optuna_reads(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for outcome in (Outcome.OK, Outcome.DIVERGED, Outcome.CRASHED):
        score = Score(0.25, 0.5, 0.1) if outcome is Outcome.OK else None
        store.finish(TrialResult(_begin(store), outcome, score=score))
    open_ = _begin(store)
    frozen = optuna.load_study(study_name="search", storage=f"sqlite:///{tmp_path / 'study.db'}").trials
    assert [t.state.name for t in frozen] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert [r.trial.config for r in store.results(Round.SEARCH)] == [t.params for t in frozen[:3]]
    assert store.begun(Round.SEARCH)[-1] == open_ and open_.config == frozen[3].params


NAMES = [
    "a?b",
    "a?c",
    "x#1",
    "50%",
    "%41",
    "A",
    "it's",
    'say "x"',
    "[x]",
    "{y}",
    "{}",
    "$HOME",
    "a;b",
    "é",
    "a&b=c",
    "a b",
]


@pytest.mark.parametrize("name", [*NAMES, "file:x?mode=memory", ":memory:", "line\nbreak", "back\\slash"])
def test_a_path_is_its_own_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    store = Store(folder)
    trial = _begin(store)
    store.finish(TrialResult(trial, Outcome.OK, score=Score(0.25, 0.5, 0.1)))
    store.close()
    assert [p.name for p in folder.iterdir()] == ["study.db"] and [p.name for p in tmp_path.iterdir()] == [name]
    assert [r.trial for r in Store(folder).results(Round.SEARCH)] == [trial]


def test_a_ledger_that_another_program_has_locked_is_said_to_be(tmp_path: Path) -> None:
    _begin(Store(tmp_path))
    other = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    with pytest.raises(StorageBusy, match="in use by another program"):
        Store(tmp_path, patience=0.1)
    assert time.monotonic() - began < 5
    other.execute("ROLLBACK")
    assert len(Store(tmp_path, patience=0.1).begun(Round.SEARCH)) == 1


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    store = Store(tmp_path)
    trial = _begin(store)
    with store._storage.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
    store.close()
    from sqlalchemy import event

    def limit(connection: sqlite3.Connection, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(store._storage.engine, "connect", limit)
    with pytest.raises(StorageError, match=r"The disk is full.*Free some space"):
        store.finish(TrialResult(trial, Outcome.CRASHED, cause="long " * 100_000))
    store.close()
    assert Store(tmp_path).open_trials(Round.SEARCH) == [trial], "what was there before stays"


@pytest.mark.parametrize("value", ["", "{", "[]", "null", '"x"', '{"a": 1}', "[" * 10_000])
def test_a_damaged_row_costs_its_trial(tmp_path: Path, value: str) -> None:
    store = Store(tmp_path)
    first, second = _begin(store), _begin(store)
    store.close()
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("UPDATE trial_user_attributes SET value_json = ? WHERE trial_id = 1", [value])
    assert Store(tmp_path).begun(Round.SEARCH) == [second]
    assert _begin(Store(tmp_path)).id == "search-002" and first.id == "search-000"


def test_a_hole_in_the_ledger_is_a_sentence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for _ in range(30):
        store.finish(TrialResult(_begin(store), Outcome.CRASHED, cause="why " * 300))
    store.close()
    data = bytearray((tmp_path / "study.db").read_bytes())
    for page in range(2, len(data) // 4096):
        hurt = bytearray(data)
        hurt[page * 4096 : (page + 1) * 4096] = b"\xff" * 4096
        (tmp_path / "study.db").write_bytes(hurt)
        try:
            store = Store(tmp_path, patience=0.1)
            store.results(Round.SEARCH)
            store.close()
        except StorageError as error:
            assert "may be damaged" in str(error)


def test_scores_follow_from_the_round_in_whatever_order_it_ended_and_old_ones_stand(tmp_path: Path) -> None:
    def told(folder: Path, order: list[int], weight: float | None) -> list[float]:
        store = Store(folder)
        trials = [_begin(store) for _ in range(3)]
        parts = [(0.1, 0.2001), (0.5, 0.2), (0.9, 0.7)]
        for n in order:
            samples, loss = parts[n]
            score = Score(0.3, 0.5, samples, weight, weight)
            store.finish(TrialResult(trials[n], Outcome.OK, score=score, validation_loss=loss))
        return [r.score.total for r in Store(folder).results(Round.SEARCH) if r.score]

    for name, order in (("a", [0, 1, 2]), ("b", [2, 0, 1])):
        (tmp_path / name).mkdir()
        # By loss the second is the first: its loss part is 0.1, the first one's 0.5.
        assert told(tmp_path / name, order, 0.75) == pytest.approx([0.2, 0.4, 0.9])
    (tmp_path / "old").mkdir()
    assert told(tmp_path / "old", [0, 1, 2], None) == [0.3, 0.3, 0.3]
