"""What every trainer's adapter must do, run through real processes. A new trainer joins `PRESETS` of `stand_ins/bench`.

The trainers of others are stand-ins (`stand_ins/*_program.py`): programs made from recorded facts, in folders that
bracket takes for their checkouts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.domain import Config, Outcome, Problem, Trial
from bracket.errors import TrainerError
from bracket.presets import load_preset
from bracket.runner.devices import devices
from bracket.runner.executor import LocalExecutor, for_device
from bracket.runner.processes.launched import write_command_sh
from bracket.runner.reading.events import Curve
from bracket.runner.reading.tail import last_lines
from bracket.runner.reading.traces import open_trace, read_trace
from bracket.trainers import Job
from bracket.trainers.base import newest
from tests.runner.help import marked
from tests.trainers.stand_ins.bench import FOREIGN, HERE, PRESETS, PROMPTS, Bench, finish, make_bench
from tests.trainers.stand_ins.checkouts import make_checkout


@pytest.fixture(scope="module")
def executor() -> Iterator[LocalExecutor]:
    with LocalExecutor(1) as made:
        yield made


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=pytest.mark.slow) if n == "builtin" else n for n in PRESETS]
)
def bench(
    request: pytest.FixtureRequest, executor: LocalExecutor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        made = make_bench(request.param, tmp_path_factory.mktemp(request.param), executor, patch.setenv)
        for launch in made.trainer.prepare(made.job):
            assert made.run(launch) == 0, last_lines(launch.log, 20)
        yield made


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Trial:
    """A trial that was trained from its beginning to its end."""
    return bench.train(bench.trial("whole"))


def _errors(problems: list[Problem]) -> str:
    return " / ".join(str(p) for p in problems if p.level == "error")


def _curves(trial: Trial) -> dict[str, Curve]:
    return open_trace(read_trace(trial.folder)).read_all()


def _steps(trial: Trial) -> list[int]:
    return [int(step) for step in _curves(trial)["loss/train"][0]]


def _elsewhere(bench: Bench, folder: Path) -> Job:
    """The job in a new session's folder, on a copy of its pictures."""
    pictures = folder / "copied pictures"
    shutil.copytree(bench.job.dataset.folder, pictures)
    train, validation = (
        tuple(replace(p, path=pictures / p.path.name) for p in part)
        for part in (bench.job.dataset.train, bench.job.dataset.validation)
    )
    dataset = replace(bench.job.dataset, folder=pictures, train=train, validation=validation)
    return replace(bench.job, folder=folder / "another session", dataset=dataset)


def test_check_finds_nothing_wrong_with_a_good_job(bench: Bench) -> None:
    assert [str(p) for p in bench.trainer.check(bench.job) if p.level != "info"] == []


def test_check_names_what_is_missing(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = bench.trainer.name
    if name == "builtin":
        monkeypatch.setitem(sys.modules, "peft", None)  # which makes it look missing
        assert "peft" in _errors(bench.trainer.check(bench.job))
        return
    monkeypatch.setenv(f"BRACKET_{name.upper()}", "")
    assert "not installed" in _errors(bench.trainer.check(bench.job))
    monkeypatch.setenv(f"BRACKET_{name.upper()}", str(tmp_path / "gone"))
    assert str(tmp_path / "gone") in _errors(bench.trainer.check(bench.job))


@pytest.mark.parametrize("bench", FOREIGN, indirect=True)
def test_check_knows_a_checkout_of_another_trainer(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"BRACKET_{bench.trainer.name.upper()}"
    for other, title in (("musubi", "musubi-tuner"), ("sd_scripts", "sd-scripts"), ("ai_toolkit", "AI-Toolkit")):
        monkeypatch.setenv(own, make_checkout(other, tmp_path / other)[f"BRACKET_{other.upper()}"])
        said = _errors(bench.trainer.check(bench.job))
        assert f"this is {title}, not" in said if other != bench.trainer.name else said == ""


@pytest.mark.parametrize("bench", FOREIGN, indirect=True)
def test_check_knows_a_checkout_of_another_version(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacks, said = {
        "sd_scripts": ("sdxl_train_network.py", "has no sdxl_train_network.py"),
        "musubi": ("zimage_train_network.py", "has no zimage_train_network.py"),
        "ai_toolkit": ("extensions_built_in/diffusion_models.py", "knows no model 'zimage'"),
    }[bench.trainer.name]
    for variable, value in make_checkout(bench.trainer.name, tmp_path / "old").items():
        monkeypatch.setenv(variable, value)
    (tmp_path / "old" / lacks).unlink()
    assert said in _errors(bench.trainer.check(bench.job))


def test_check_names_an_addition_that_the_trainer_does_not_know(bench: Bench) -> None:
    job = replace(bench.job, extra_args=("--no_such_flag",))
    assert "no_such_flag" in _errors(bench.trainer.check(job))


def test_check_refuses_what_bracket_decides(bench: Bench) -> None:
    """Each trainer's word for the folder and the seed, as a setting and as an argument."""
    for key in bench.decided:
        fixed = replace(bench.job, fixed={**bench.job.fixed, key: "1"})
        assert key in _errors(bench.trainer.check(fixed)), key
        added = {"builtin": ("--set", f"{key}=1"), "ai_toolkit": (f"{key}=1",)}.get(bench.trainer.name, (key, "1"))
        assert key in _errors(bench.trainer.check(replace(bench.job, extra_args=added))), key


def test_check_names_a_sample_setting_that_the_trainer_does_not_know(bench: Bench) -> None:
    said = _errors(bench.trainer.check(replace(bench.job, sample={**bench.job.sample, "guidence": 3})))
    if not bench.decided:
        pytest.skip("it knows nothing of samples")
    assert "guidence" in said and "guidance" in said


@pytest.mark.parametrize(
    ("key", "value"),
    [("steps", 0), ("steps", 2.5), ("steps", True), ("width", 60), ("height", -64), ("width", "x"), ("guidance", -1)],
)
def test_check_refuses_pictures_that_can_not_be_drawn(bench: Bench, key: str, value: object) -> None:
    said = _errors(bench.trainer.check(replace(bench.job, sample={**bench.job.sample, key: value})))
    assert not bench.decided or f"sample.{key}" in said


def _cached(job: Job) -> dict[Path, int]:
    """Everything that was cached, with its time."""
    found = (p for p in (job.folder / "cache").rglob("*") if p.suffix in (".safetensors", ".npz"))
    return {p: p.stat().st_mtime_ns for p in found}


def test_preparing_again_changes_nothing_until_a_picture_does(bench: Bench, tmp_path: Path) -> None:
    job = _elsewhere(bench, tmp_path)

    def prepare() -> int:
        launches = bench.trainer.prepare(job)
        assert [bench.run(launch) for launch in launches] == [0] * len(launches)
        return len(launches)

    prepare()
    made = _cached(job)
    assert bool(made) is bench.caches
    prepare()
    assert _cached(job) == made

    from PIL import Image

    changed = job.dataset.train[0].path
    Image.new("RGB", (64, 64), (200, 10, 10)).save(changed)
    os.utime(changed, (time.time() + 5, time.time() + 5))
    assert bool(prepare()) is bench.caches
    assert (_cached(job) != made) is bench.caches


def test_a_trial_trains_saves_and_draws(bench: Bench, whole: Trial) -> None:
    fresh = bench.trial("never begun")
    assert bench.trainer.find_checkpoint(fresh) is None and bench.trainer.find_samples(fresh) == []
    assert bench.trainer.find_checkpoint(whole)
    drawn = newest(bench.trainer.find_samples(whole))
    assert [(s.prompt, s.seed, s.step) for s in drawn] == [(p.text, p.seed, whole.steps) for p in PROMPTS]
    assert _steps(whole) == bench.logged(0, whole.steps)
    measured = _curves(whole).get("loss/validation")
    assert (measured is not None) is bench.measures
    assert measured is None or measured[0][-1] == _steps(whole)[-1], "the loss of what is saved"


def test_pictures_on_the_way(bench: Bench) -> None:
    job = replace(bench.job, sample_every=2)
    samples = bench.trainer.find_samples(bench.train(bench.trial("on the way"), job))
    steps = sorted({s.step for s in samples} - {0})
    assert len(steps) > 1 and steps[-1] == 6
    for step in steps:
        assert [(s.prompt, s.seed) for s in samples if s.step == step] == [(p.text, p.seed) for p in PROMPTS]


def test_several_trials_train_together_or_one_by_one(bench: Bench) -> None:
    trials = [bench.trial("first", steps=3), bench.trial("second", {"learning_rate": 1e-2, "rank": 4}, steps=4)]
    if bench.trainer.together:
        assert bench.run(bench.trainer.launch(bench.job, trials)) == 0
    else:
        with pytest.raises(ValueError, match="too many values"):
            bench.trainer.launch(bench.job, trials)
        for trial in trials:
            assert bench.run(bench.trainer.launch(bench.job, [trial])) == 0
    for trial in trials:
        assert bench.trainer.find_checkpoint(trial)
        assert {s.step for s in newest(bench.trainer.find_samples(trial))} == {trial.steps}
        assert (trial.folder / "exit.json").exists()
    alone = bench.train(replace(trials[1], folder=bench.job.folder / "trials" / "alone"))
    assert bench.weights(alone) == bench.weights(trials[1]), "the company a trial keeps changes nothing"


def _what_is_run(bench: Bench, config: Config) -> str:
    """The command of a trial and all files that it reads."""
    trial = bench.trial("knobs", config)
    shutil.rmtree(trial.folder, ignore_errors=True)
    launch = bench.trainer.launch(bench.job, [trial])
    read = [p for p in sorted(trial.folder.rglob("*")) if p.suffix in (".json", ".toml", ".yaml")]
    return "\n".join([*launch.argv, *(p.read_text("utf-8") for p in read if p.name != "trial.json")])


def test_every_knob_changes_what_is_run(bench: Bench) -> None:
    for knob in bench.job.knobs:
        config = {name: values[0] for name, values in knob.when.items()}
        values = knob.choices or (knob.low, knob.high)
        texts = {_what_is_run(bench, {**config, knob.name: value}) for value in values if value is not None}
        assert len(texts) == len(values), f"{knob.name} changes nothing"


def test_rate_and_rank_change_the_pictures(bench: Bench, whole: Trial) -> None:
    seen = {_pictures(bench, whole)}
    for name, config in (("fast", {"learning_rate": 1e-2}), ("other", {"rank": bench.another_rank})):
        seen.add(_pictures(bench, bench.train(bench.trial(name, config))))
    assert len(seen) == 3


def _pictures(bench: Bench, trial: Trial) -> tuple[bytes, ...]:
    return tuple(s.path.read_bytes() for s in newest(bench.trainer.find_samples(trial)))


def _stop(bench: Bench, trial: Trial) -> None:
    """Starts a trial and stops it when it could have saved itself once."""
    handle = bench.start(bench.trainer.launch(bench.job, [trial]), pace=0.03)
    until = time.monotonic() + 60
    while handle.progress().step < bench.saves_at + 1:
        assert time.monotonic() < until, last_lines(handle.launch.log, 20)
        time.sleep(0.01)
    assert bench.trainer.name == "builtin" or len(marked(handle.launch.log)) > 1, "a guard and what it guards"
    handle.stop()
    finish(handle)
    assert marked(handle.launch.log) == []


def test_a_stop_ends_everything_and_the_next_launch_finishes_the_trial(bench: Bench) -> None:
    trial = bench.trial("stopped", steps=40)
    _stop(bench, trial)
    assert bench.outcome(trial, stopped=True) == (Outcome.STOPPED, "it was stopped")
    assert bench.trainer.find_checkpoint(trial) is None

    bench.train(trial)
    assert _steps(trial) == bench.logged(0, trial.steps), "no step is missing or there twice"
    assert {s.step for s in newest(bench.trainer.find_samples(trial))} == {trial.steps}
    unbroken = bench.train(bench.trial("unbroken", steps=40))
    assert (bench.weights(trial) != bench.weights(unbroken)) is bool(bench.repeats)


@pytest.mark.parametrize("bench", FOREIGN, indirect=True)
def test_what_a_kill_cut_short_is_not_gone_on_from(bench: Bench) -> None:
    """These trainers write their files in place."""
    trial = bench.trial("cut in the middle", steps=40)
    _stop(bench, trial)
    for file in (f for f in trial.folder.rglob("*") if f.suffix in (".safetensors", ".png")):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    bench.train(trial)
    assert _pictures(bench, trial)


def test_a_melted_trial_is_told_from_a_crash(bench: Bench) -> None:
    trial = bench.trial("melted", {"learning_rate": 1e30})
    bench.run(bench.trainer.launch(bench.job, [trial]))
    outcome, cause = bench.outcome(trial)
    assert outcome is Outcome.DIVERGED and cause


def test_a_crash_has_a_cause(bench: Bench) -> None:
    words, said = bench.bad_argument
    trial = bench.trial("bad argument")
    bench.run(bench.trainer.launch(replace(bench.job, extra_args=words), [trial]))
    outcome, cause = bench.outcome(trial)
    assert outcome is Outcome.CRASHED and said in cause
    assert "CalledProcessError" not in cause and "Traceback" not in cause


def test_a_dataset_that_is_gone_is_a_crash(bench: Bench, tmp_path: Path) -> None:
    job = _elsewhere(bench, tmp_path)
    trial = bench.trial("no pictures", job=job)
    launch = bench.trainer.launch(job, [trial])
    for folder in (job.folder / "cache", job.dataset.folder):
        for path in folder.rglob("*"):
            if not path.is_dir() and path.suffix in (".png", ".npz", ".safetensors"):
                path.unlink()
    bench.run(launch)
    outcome, cause = bench.outcome(trial)
    assert outcome is Outcome.CRASHED
    assert "no " in cause.lower() and "CalledProcessError" not in cause


def test_more_pictures_from_a_checkpoint_and_from_the_bare_base(bench: Bench) -> None:
    trial = bench.train(bench.trial("drawn with", {"rank": bench.another_rank}))
    drawn = {}
    for name, checkpoint in (("tuned", bench.trainer.find_checkpoint(trial)), ("bare", None)):
        out = bench.job.folder / "drawn" / name
        assert bench.trainer.find_drawn(out) == []
        launch = bench.trainer.draw(bench.job, checkpoint, PROMPTS, out)
        assert bench.run(launch) == 0, last_lines(launch.log, 20)
        samples = bench.trainer.find_drawn(out)
        assert [(s.prompt, s.seed) for s in samples] == [(p.text, p.seed) for p in PROMPTS]
        drawn[name] = tuple(s.path.read_bytes() for s in samples)
    assert drawn["tuned"] == _pictures(bench, trial), "same seed, same picture"
    assert drawn["tuned"] != drawn["bare"]
    assert bench.outcome(trial) == (Outcome.OK, ""), "drawing leaves the trial as it was"


def _another(value: object) -> object:
    """Another value of a sample setting."""
    if isinstance(value, int | float):
        return 2 * value
    return "ddim" if value else "blurry"  # a sampler, a negative prompt


def test_every_sample_setting_changes_the_pictures(bench: Bench) -> None:
    drawn = {}
    for key, value in {"": 0, **bench.job.sample}.items():
        sample = {**bench.job.sample, **({key: _another(value)} if key else {})}
        out = bench.job.folder / "drawn" / f"with another {key}"
        launch = bench.trainer.draw(replace(bench.job, sample=sample), None, PROMPTS[:1], out)
        assert bench.run(launch) == 0, last_lines(launch.log, 20)
        (picture,) = bench.trainer.find_drawn(out)
        drawn[key] = picture.path.read_bytes()
    same = {"", "batch_size"} & drawn.keys()
    assert len({drawn[key] for key in same}) == 1
    assert len(set(drawn.values())) == len(drawn) - len(same) + 1


def test_the_command_by_hand_does_the_same(bench: Bench, whole: Trial) -> None:
    trial = bench.trial("by hand 'at' home")
    job = replace(bench.job, extra_args=bench.addition)
    launch = for_device(bench.trainer.launch(job, [trial]), devices()[0])
    script = write_command_sh(trial.folder / "command.sh", launch)
    done = subprocess.run(["sh", str(script)], capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert bench.weights(trial) == bench.weights(whole)
    assert _pictures(bench, trial) == _pictures(bench, whole)


def test_a_checkpoint_that_was_cut_short_does_not_count(bench: Bench) -> None:
    trial = bench.train(bench.trial("cut", steps=2))
    weights = bench.weights_file(trial)
    weights.write_bytes(weights.read_bytes()[:-7])
    assert bench.trainer.find_checkpoint(trial) is None
    assert bench.outcome(trial)[0] is Outcome.CRASHED


@pytest.fixture(scope="module")
def long(bench: Bench) -> Trial:
    return bench.train(replace(bench.trial("long", bench.fading, steps=8), schedule=8))


def _rung(bench: Bench, name: str) -> tuple[Trial, Trial]:
    """A trained trial of 4 of 8 steps, and one that goes on from it to the end."""
    short = bench.train(replace(bench.trial(f"{name} short", bench.fading, steps=4), schedule=8))
    further = bench.trial(f"{name} further", bench.fading, steps=8)
    return short, replace(further, schedule=8, continues=short.folder)


def test_a_trial_that_continues_another_ends_like_one_long_one(bench: Bench, long: Trial) -> None:
    short, further = _rung(bench, "a")
    before = bench.weights(short)
    bench.train(further)
    assert bench.weights(further) == bench.weights(long)
    assert _pictures(bench, further) == _pictures(bench, long)
    assert _steps(further) == bench.logged(0, 4) + bench.logged(4, 8)
    assert bench.weights(short) == before, "the trial it goes on from stays as it is"


def test_a_trial_whose_predecessor_is_gone(bench: Bench, long: Trial) -> None:
    short, further = _rung(bench, "b")
    bench.weights_file(short).unlink()
    if bench.trainer.continues:
        with pytest.raises(TrainerError, match="left no checkpoint"):
            bench.trainer.launch(bench.job, [further])
    else:
        assert bench.weights(bench.train(further)) == bench.weights(long), "it never needed it"


def test_the_page_on_adding_a_trainer_says_the_truth() -> None:
    page = (HERE.parents[2] / "docs" / "how-to" / "add-a-trainer.md").read_text("utf-8")
    example = HERE / "minimal_trainer.py"
    lines = len(example.read_text("utf-8").splitlines())
    assert f"{example.relative_to(HERE.parents[2]).as_posix()}" in page
    assert f"{lines} lines" in page and lines < 150
    assert load_preset(HERE / "minimal.yaml").trainer == "minimal"
