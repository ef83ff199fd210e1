"""Earlier sessions as they lie on disk: which are found, what is read of them, and that what was borrowed stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bracket.cli.text import plan_lines
from bracket.dataset import split_to_json
from bracket.demo.dataset import write_demo_dataset
from bracket.domain import Outcome, Round, Score, TrialResult, Wanted
from bracket.errors import StorageError
from bracket.files import write_json
from bracket.presets import find_preset
from bracket.runner.devices import Device
from bracket.session.asked.settings import (
    Bound,
    DatasetSettings,
    JudgeSettings,
    SearchSettings,
    SessionSettings,
    from_preset,
    save,
)
from bracket.session.job import Context, resolve
from bracket.session.planning import memory, plan
from bracket.session.running import launch
from bracket.session.running.stages import session_strategy
from bracket.session.store import Store

PRESET = find_preset("embedded-demo")
CPU = Device("cpu", "cpu", "cpu", 0)
STEPS = 25
"""Of the only rung of `asked`."""
SCORES = (0.3, 0.25, 0.2, 0.35, 0.4, 0.5)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> SessionSettings:
    folder = write_demo_dataset(tmp_path_factory.mktemp("data") / "zorp")
    data = DatasetSettings(folder=str(folder), trigger_word="zorp", class_word="star")
    search = SearchSettings(strategy="tpe", configs=10, steps=STEPS, memory=True)
    return from_preset(PRESET, data, search=search)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRACKET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BRACKET_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def _earlier(folder: Path, settings: SessionSettings, scores: Sequence[float | Outcome] = SCORES) -> Path:
    """A session as its search leaves it: a config a score, or the outcome of those that failed."""
    folder.mkdir(parents=True)
    save(settings, folder)
    write_json(
        folder / memory.DATASET_FILE,
        split_to_json(resolve(settings.model_copy(update={"preset": "embedded-demo"})).dataset),
    )
    store = Store(folder)
    for rate, score in zip(np.geomspace(1e-4, 1e-2, len(scores)), scores, strict=True):
        config = {**PRESET.baseline, "learning_rate": float(rate)}
        trial = store.begin(Wanted(Round.SEARCH, "tpe", config, 0, STEPS), PRESET.knob_list())
        if isinstance(score, Outcome):
            store.finish(TrialResult(trial, score, cause="made up"))
        else:
            store.finish(TrialResult(trial, Outcome.OK, score=Score(score, 0.0, score)))
    store.close()
    return folder


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, asked: SessionSettings) -> Path:
    return _earlier(tmp_path_factory.mktemp("template") / "wolf", asked)


@pytest.fixture
def wolf(template: Path, runs: Path) -> Path:
    """An earlier session of six configs, 5/8 of the weight of one without end."""
    return shutil.copytree(template, runs / "wolf")


def _context(folder: Path, settings: SessionSettings) -> Context:
    folder.mkdir(parents=True, exist_ok=True)
    return resolve(settings, folder)


def test_sessions_of_the_preset_are_found_finished_or_not(runs: Path, asked: SessionSettings) -> None:
    _earlier(runs / "wolf", asked, [0.4, 0.2, Outcome.DIVERGED, Outcome.CRASHED, 0.3])
    _earlier(runs / "other preset", asked.model_copy(update={"preset": "embedded-demo-2"}), [0.1, 0.2])
    _earlier(runs / "no result", asked, [])
    itself = _earlier(runs / "itself", asked, [0.1, 0.2])
    open_ = Store(runs / "wolf")
    open_.begin(Wanted(Round.SEARCH, "tpe", PRESET.baseline, 0, STEPS), PRESET.knob_list())
    open_.close()
    found, unread = memory.earlier_sessions(runs, asked.preset, itself)
    assert unread == ()
    assert list(found) == ["wolf"]
    (rung,) = found["wolf"]
    assert (rung.session, rung.steps) == ("wolf", STEPS)
    assert [score for _, score in rung.tried] == [0.4, 0.2, None, 0.3], "the crash says nothing, the melt does"
    assert rung.data == memory.data_of(resolve(asked).dataset)


def test_every_rung_is_one_of_its_own(runs: Path, asked: SessionSettings) -> None:
    folder = _earlier(runs / "wolf", asked, [0.4, 0.2, 0.3])
    store = Store(folder)
    first = store.results(Round.SEARCH)[1].trial
    wanted = Wanted(Round.SEARCH, "tpe", first.config, 0, 50, continues=first.id, rung=1)
    store.finish(TrialResult(store.begin(wanted, PRESET.knob_list()), Outcome.OK, score=Score(0.1, 0.0, 0.1)))
    store.close()
    rungs = memory.earlier_sessions(runs, asked.preset)[0]["wolf"]
    assert [(r.steps, [s for _, s in r.tried]) for r in rungs] == [(STEPS, [0.4, 0.2, 0.3]), (50, [0.1])]


def test_what_cannot_be_read_is_named_and_left_out(runs: Path, asked: SessionSettings, wolf: Path) -> None:
    torn, edited, bare = (shutil.copytree(wolf, runs / name) for name in ("torn", "edited", "bare"))
    (torn / "study.db").write_bytes(b"not a database, by any means" * 100)
    (edited / "session.yaml").write_text("preset: [", encoding="utf-8")
    (bare / memory.DATASET_FILE).unlink()
    found, unread = memory.earlier_sessions(runs, asked.preset)
    assert (list(found), unread) == (["wolf"], ("bare", "edited", "torn"))
    assert memory.planned(resolve(asked)).endswith("Can't be read and left out: bare, edited, torn.")


def test_a_session_is_read_again_only_when_it_changed(
    runs: Path, asked: SessionSettings, wolf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    class Counted(Store):
        def __init__(self, folder: Path, **more: float) -> None:
            opened.append(folder)
            super().__init__(folder, **more)

    monkeypatch.setattr(memory, "Store", Counted)
    looks = [memory.earlier_sessions(runs, asked.preset) for _ in range(3)]
    assert looks[0] == looks[1] == looks[2] and len(opened) == 1
    store = Store(wolf)
    store.finish(TrialResult(store.begin(Wanted(Round.SEARCH, "tpe", PRESET.baseline, 0, STEPS), ()), Outcome.DIVERGED))
    store.close()
    (rung,) = memory.earlier_sessions(runs, asked.preset)[0]["wolf"]
    assert len(rung.tried) == 7 and len(opened) == 2


def _searching(settings: SessionSettings, **changes: object) -> SessionSettings:
    return settings.model_copy(update={"search": settings.search.model_copy(update=changes)})


def test_the_plan_says_what_is_borrowed(runs: Path, asked: SessionSettings, template: Path) -> None:
    assert memory.planned(resolve(asked)) == "No earlier session of this preset to learn from."
    shutil.copytree(template, runs / "wolf")
    _earlier(runs / "fox", asked.model_copy(update={"judge": JudgeSettings(kind="clip", model="another")}), [0.1] * 12)
    said = memory.planned(resolve(asked))
    # 5/8 for six configs, and half of 11/14 for twelve under another judge.
    assert "from 2 earlier sessions of this preset: wolf (weight 0.62, " in said and "fox (weight 0.39, " in said
    made = plan.make(asked)
    assert made.memory == said and made.errors == [] and said in plan_lines(made)


def test_who_does_not_ask_borrows_nothing(runs: Path, asked: SessionSettings, wolf: Path) -> None:
    assert memory.planned(resolve(_searching(asked, memory=False))) == ""
    chance = _searching(asked, strategy="random")
    assert memory.planned(resolve(chance)) == "The strategy random borrows nothing from earlier sessions."
    for settings in (_searching(asked, memory=False), chance):
        assert memory.session_memory(_context(runs / "new", settings)) is None
        assert not (runs / "new" / memory.FILE).exists()


def test_what_lies_outside_the_bounds_is_not_borrowed(runs: Path, asked: SessionSettings, wolf: Path) -> None:
    narrow = asked.model_copy(update={"bounds": {"learning_rate": Bound(low=1e-3, high=1e-2)}})
    lent = memory.session_memory(_context(runs / "new", narrow))
    assert lent and lent.borrowed and all(float(b.config["learning_rate"]) >= 1e-3 for b in lent.borrowed)
    nothing = asked.model_copy(update={"bounds": {"learning_rate": Bound(low=1.1e-2, high=2e-2)}})
    said = "Borrows nothing from 1 earlier session of this preset: too unlike, or outside these bounds."
    assert memory.planned(resolve(nothing)) == said


def test_what_was_borrowed_stays_without_the_lenders(runs: Path, asked: SessionSettings, wolf: Path) -> None:
    context = _context(runs / "new", asked)
    assert memory.told(context.folder) == ""
    first = memory.session_memory(context)
    assert first and first.borrowed and (context.folder / memory.FILE).exists()
    (wanted, *_) = proposals = session_strategy(context).propose([], [], 6)
    assert wanted.origin == "baseline"
    shutil.rmtree(wolf)
    _earlier(runs / "fox", asked, SCORES[::-1])
    assert memory.session_memory(context) == first
    assert session_strategy(context).propose([], [], 6) == proposals
    assert memory.told(context.folder) == first.sentence == memory.planned(resolve(asked, context.folder))
    (context.folder / memory.FILE).unlink()
    assert session_strategy(context).propose([], [], 6) != proposals, "the memory made them"


def test_new_settings_choose_anew(runs: Path, asked: SessionSettings, wolf: Path) -> None:
    """Nothing has begun yet: the settings are replaced, and with them what was borrowed for the old ones."""
    folder = launch.create(asked, runs / "new")
    memory.session_memory(_context(folder, asked))
    launch.create(asked.model_copy(update={"seed": 5}), folder)
    assert not (folder / memory.FILE).exists()


def test_a_damaged_memory_is_one_sentence(runs: Path, asked: SessionSettings) -> None:
    context = _context(runs / "new", asked)
    for text in ("{", "{}", '{"borrowed": [{"config": {}}], "sessions": 1, "unread": []}'):
        (context.folder / memory.FILE).write_text(text, encoding="utf-8")
        with pytest.raises(StorageError, match="damaged"):
            memory.session_memory(context)
    assert any("damaged" in str(p) for p in plan.make(asked, folder=context.folder).errors)


def test_a_dataset_is_the_same_by_its_pictures_wherever_it_lies(
    tmp_path: Path, runs: Path, asked: SessionSettings
) -> None:
    there = memory.data_of(resolve(asked).dataset)
    moved = shutil.copytree(asked.dataset.folder, tmp_path / "moved")
    elsewhere = asked.model_copy(update={"dataset": asked.dataset.model_copy(update={"folder": str(moved)})})
    here = memory.data_of(resolve(elsewhere).dataset)
    assert here == replace(there, folder=str(moved))
    next(moved.glob("*.txt")).write_text("another caption", encoding="utf-8")
    assert memory.data_of(resolve(elsewhere).dataset).digest != there.digest
    assert memory.data_of(resolve(asked.model_copy(update={"seed": 9})).dataset).digest == there.digest


def test_only_the_newest_are_read(
    runs: Path, asked: SessionSettings, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "NEWEST", 2)
    for age, name in enumerate(("new", "older", "oldest")):
        ledger = shutil.copytree(template, runs / name) / "study.db"
        os.utime(ledger, (1e9 - age, 1e9 - age))
    assert set(memory.earlier_sessions(runs, asked.preset)[0]) == {"new", "older"}
