"""What every trainer's adapter must do, run through real processes. A new trainer joins `TRAINERS`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bracket.dataset import scan, split
from bracket.demo.dataset import write_demo_dataset
from bracket.domain import DatasetSplit, Job, Launch, Outcome, Prompt, Round, Trial
from bracket.presets import find_preset
from bracket.runner.devices import Device, devices
from bracket.runner.events import EventReader
from bracket.runner.executor import Handle, LocalExecutor
from bracket.runner.outcome import classify
from bracket.runner.tail import last_lines
from bracket.trainers import Trainer, make_trainer
from bracket.trainers.base import newest

TRAINERS = {"builtin": "embedded-demo"}
"""Trainer to the preset it is tried with."""

PROMPTS = (Prompt("a big red zorp on a blue background", 1), Prompt("a big red circle on a blue background", 2))


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(1) as made:
        yield made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetSplit:
    folder = write_demo_dataset(tmp_path_factory.mktemp("data") / "zorp")
    return split(scan(folder), trigger_word="zorp", class_word="star")


@pytest.fixture(scope="module", params=TRAINERS)
def trainer(request: pytest.FixtureRequest) -> Trainer:
    return make_trainer(request.param)


@pytest.fixture(scope="module")
def job(trainer: Trainer, dataset: DatasetSplit, tmp_path_factory: pytest.TempPathFactory) -> Job:
    preset = find_preset(TRAINERS[trainer.name])
    return Job(
        folder=tmp_path_factory.mktemp("a session"),
        dataset=dataset,
        weights=preset.resolve_weights({}),
        fixed=preset.fixed,
        targets={k.name: k.target for k in preset.knob_list()},
        sample=preset.sample,
        prompts=PROMPTS,
        device="cpu",
    )


def _trial(job: Job, name: str, *, steps: int = 6, seed: int = 1, **config: float) -> Trial:
    preset = find_preset("embedded-demo")
    return Trial(name, Round.SEARCH, "test", {**preset.baseline, **config}, seed, steps, job.folder / "trials" / name)


def _finish(handle: Handle, seconds: float = 120.0) -> int | None:
    until = time.monotonic() + seconds
    while (ended := handle.poll()) is None:
        assert time.monotonic() < until, last_lines(handle.launch.log, 20)
        time.sleep(0.05)
    return ended.code


def _run(executor: LocalExecutor, launch: Launch) -> int | None:
    return _finish(executor.submit(launch, _device()))


def _device() -> Device:
    return devices()[0]


def test_check_finds_nothing_wrong_with_a_good_job(trainer: Trainer, job: Job) -> None:
    assert trainer.check(job) == []


def test_prepare_is_cheap_the_second_time(trainer: Trainer, job: Job, executor: LocalExecutor) -> None:
    for launch in trainer.prepare(job):
        assert _run(executor, launch) == 0, last_lines(launch.log, 20)
    made = {p: p.stat().st_mtime_ns for p in (job.folder / "cache").rglob("*.safetensors")}
    assert made
    for launch in trainer.prepare(job):
        assert _run(executor, launch) == 0
    assert made == {p: p.stat().st_mtime_ns for p in (job.folder / "cache").rglob("*.safetensors")}


def test_a_trial_trains_saves_and_draws(trainer: Trainer, job: Job, executor: LocalExecutor) -> None:
    trial = _trial(job, "whole")
    assert trainer.find_checkpoint(trial) is None and trainer.find_samples(trial) == []
    assert _run(executor, trainer.launch(job, [trial])) == 0

    assert trainer.find_checkpoint(trial)
    drawn = newest(trainer.find_samples(trial))
    assert [(s.prompt, s.seed, s.step) for s in drawn] == [(p.text, p.seed, 6) for p in PROMPTS]
    curves = EventReader(trial.folder / "tfevents").read_all()
    assert list(curves["loss/train"][0]) == [1, 2, 3, 4, 5, 6]
    assert curves["loss/validation"][0][-1] == 6


def test_one_launch_trains_several_trials(trainer: Trainer, job: Job, executor: LocalExecutor) -> None:
    trials = [_trial(job, "first", steps=3), _trial(job, "second", steps=4, learning_rate=1e-2, rank=2)]
    assert _run(executor, trainer.launch(job, trials)) == 0
    for trial in trials:
        assert trainer.find_checkpoint(trial)
        assert {s.step for s in trainer.find_samples(trial)} == {trial.steps}
        assert (trial.folder / "exit.json").exists()
    alone = Trial(**{**vars(trials[1]), "folder": job.folder / "trials" / "alone"})
    assert _run(executor, trainer.launch(job, [alone])) == 0
    weights = [next((trainer.find_checkpoint(t) or job.folder).glob("*.safetensors")) for t in (alone, trials[1])]
    assert weights[0].read_bytes() == weights[1].read_bytes(), "the company a trial keeps changes nothing"


def test_a_searched_knob_changes_what_is_run(trainer: Trainer, job: Job) -> None:
    texts = set()
    for name, value in (("learning_rate", 3e-3), ("rank", 2), ("batch_size", 2)):
        trial = _trial(job, f"knob-{name}", **{name: value})
        trainer.launch(job, [trial])
        text = next(trial.folder.glob("config*")).read_text()
        texts.add(text.replace(trial.id, ""))
    assert len(texts) == 3


def test_a_stop_saves_and_the_next_launch_goes_on(trainer: Trainer, job: Job, executor: LocalExecutor) -> None:
    trial = _trial(job, "stopped", steps=400)
    handle = executor.submit(trainer.launch(job, [trial]), _device())
    until = time.monotonic() + 60
    while handle.progress().step < 3:
        assert time.monotonic() < until, last_lines(handle.launch.log, 20)
        time.sleep(0.02)
    handle.stop()
    code = _finish(handle)
    reached = int(EventReader(trial.folder / "tfevents").read_all()["loss/train"][0][-1])
    assert code == 130 and 3 <= reached < 400

    shorter = Trial(**{**vars(trial), "steps": reached + 3})
    assert _run(executor, trainer.launch(job, [shorter])) == 0
    steps = EventReader(trial.folder / "tfevents").read_all()["loss/train"][0]
    assert list(steps) == list(range(1, reached + 4)), "no step was lost or done twice"


def test_a_melted_trial_is_told_from_a_crash(trainer: Trainer, job: Job, executor: LocalExecutor) -> None:
    trial = _trial(job, "melted", learning_rate=1e30)
    launch = trainer.launch(job, [trial])
    code = _run(executor, launch)
    outcome, cause = classify(code, last_lines(launch.log, 50), trainer.find_checkpoint(trial) is not None, False)
    assert outcome is Outcome.DIVERGED and cause


def test_more_pictures_from_a_checkpoint_and_from_the_bare_base(
    trainer: Trainer, job: Job, executor: LocalExecutor
) -> None:
    from bracket.trainers.base import read_samples

    trial = _trial(job, "drawn", learning_rate=1e-2)
    assert _run(executor, trainer.launch(job, [trial])) == 0
    for name, checkpoint in (("tuned", trainer.find_checkpoint(trial)), ("bare", None)):
        assert _run(executor, trainer.draw(job, checkpoint, PROMPTS, job.folder / name)) == 0
        assert [s.seed for s in read_samples(job.folder / name)] == [1, 2]
    again = [s.path.read_bytes() for s in read_samples(job.folder / "tuned")]
    assert again == [s.path.read_bytes() for s in newest(trainer.find_samples(trial))], "same seed, same picture"
    assert again != [s.path.read_bytes() for s in read_samples(job.folder / "bare")]


def test_the_command_by_hand_is_the_launch(trainer: Trainer, job: Job) -> None:
    trial = _trial(job, "by hand")
    assert trainer.launch(job, [trial]).argv == trainer.train_argv(job, trial)


def test_a_checkpoint_that_was_cut_short_does_not_count(
    trainer: Trainer, job: Job, executor: LocalExecutor, tmp_path: Path
) -> None:
    trial = _trial(job, "cut", steps=2)
    assert _run(executor, trainer.launch(job, [trial])) == 0
    (weights,) = (trainer.find_checkpoint(trial) or tmp_path).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:-100])
    assert trainer.find_checkpoint(trial) is None
