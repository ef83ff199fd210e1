"""What bracket makes of real runs: outcome, cause, curve, progress, pictures and checkpoints of every recorded one."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from bracket.domain import Outcome, Prompt, Sample, Trace
from bracket.runner.reading.bars import LogBars
from bracket.runner.reading.cause import cause
from bracket.runner.reading.outcome import classify
from bracket.runner.reading.signs import Signs, read_signs
from bracket.runner.reading.tail import last_lines
from bracket.runner.reading.traces import open_trace
from bracket.trainers.artefacts import (
    AI_TOOLKIT_TAGS,
    MUSUBI_TAGS,
    SD_SCRIPTS_TAGS,
    ai_toolkit_checkpoints,
    ai_toolkit_samples,
    is_finite_checkpoint,
    kohya_checkpoints,
    kohya_samples,
    kohya_states,
)
from bracket.trainers.base import loads, newest
from tests.runner.loss_log import Log
from tests.trainers.leavings import picture, weights

RUNS = Path(__file__).parents[1] / "data" / "kohya-runs"
LOG_LINES = 200
NO_ITEMS = "ValueError: No training items found in the dataset."
WARMUP = "ValueError: SchedulerType.CONSTANT does not require `num_warmup_steps`. Set None or 0."
NO_DATA = "No data found. Please verify arguments (train_data_dir must be the parent of folders with images)"


@dataclass(frozen=True)
class Row:
    """What is expected of a recorded run.

    Attributes:
        says: words at the start of the cause.
        also: words anywhere in it.
        steps: steps of the training curve, first and last; None without an event file.
        bar: the training bar's last step and total; None when there was none.
        pictures: steps that have pictures of all prompts.
        saved: numbers of epoch and step checkpoints, and "final"; None where the folder wasn't recorded.
        states: the same of states to resume from.
    """

    name: str
    outcome: Outcome = Outcome.OK
    says: str = ""
    also: str = ""
    steps: tuple[int, int] | None = None
    bar: tuple[int, int] | None = None
    pictures: tuple[int, ...] = ()
    saved: tuple[int | str, ...] | None = ()
    states: tuple[int | str, ...] = ()
    steps_per_epoch: int | None = None


CRASHED, DIVERGED, STOPPED = Outcome.CRASHED, Outcome.DIVERGED, Outcome.STOPPED
ROWS = (
    Row("musubi-zimage-badflag", CRASHED, "zimage_train_network.py: error: unrecognized arguments: --no_such_flag 1"),
    Row("musubi-zimage-badkey", CRASHED, "voluptuous.error.MultipleInvalid: extra keys not allowed", "shuffle_caption"),
    Row("musubi-zimage-cache-latents", saved=None),
    Row("musubi-zimage-cache-latents-empty", saved=None),
    Row("musubi-zimage-cache-te", saved=None),
    Row("musubi-zimage-constant-warmup", CRASHED, WARMUP),
    Row("musubi-zimage-empty", CRASHED, NO_ITEMS, "cache has been created beforehand"),
    Row(
        "musubi-zimage-full",
        steps=(1, 12),
        bar=(12, 12),
        pictures=(6, 12),
        saved=(1, "final"),
        steps_per_epoch=6,
    ),
    Row(
        "musubi-zimage-lora-good",
        steps=(1, 14),
        bar=(14, 14),
        pictures=(0, 5, 10),
        saved=(5, 10, "final"),
        states=(5, 10, "final"),
    ),
    Row(
        "musubi-zimage-lora-lr1e6-clip1",
        DIVERGED,
        "the loss is not a finite number from step 3 on",
        steps=(1, 14),
        bar=(14, 14),
        saved=("final",),
    ),
    Row(
        "musubi-zimage-lora-nan",
        DIVERGED,
        "the loss is not a finite number from step 3 on",
        steps=(1, 14),
        bar=(14, 14),
        pictures=(7, 14),
        saved=(7, 14, "final"),
    ),
    Row("musubi-zimage-missingdir", steps=(1, 14), bar=(14, 14), saved=("final",)),
    Row("musubi-zimage-missingmodel", CRASHED, "FileNotFoundError:", "'/nope/dit.safetensors'"),
    Row("musubi-zimage-no-attn", CRASHED, "ValueError: either --sdpa,", "must be specified"),
    Row("musubi-zimage-no-optimizer", CRASHED, "AttributeError: module 'torch.optim' has no attribute ''"),
    Row("musubi-zimage-no-vae-no-te", bar=(3, 3), saved=None),
    Row("musubi-zimage-nocache", CRASHED, NO_ITEMS),
    Row("musubi-zimage-resume", steps=(1, 14), bar=(14, 14), saved=(7, 14, "final")),
    Row("musubi-zimage-sigint-group", STOPPED, "it was interrupted from outside", steps=(1, 9), bar=(10, 4000)),
    Row(
        "musubi-zimage-sigterm",
        CRASHED,
        "it was killed from outside by SIGTERM",
        steps=(1, 3977),
        bar=(3977, 4000),
        saved=(2000,),
    ),
    Row(
        "musubi-zimage-sigterm-group",
        CRASHED,
        "it was killed from outside by SIGTERM",
        steps=(1, 10),
        bar=(10, 4000),
    ),
    Row("sd-sd15-lora-good", steps=(1, 8), bar=(8, 8), pictures=(4, 8), saved=(4, 8, "final")),
    Row("sd-sdxl-badflag", CRASHED, "sdxl_train_network.py: error: unrecognized arguments: --no_such_flag 1"),
    Row("sd-sdxl-badkey", CRASHED, "voluptuous.error.MultipleInvalid: extra keys not allowed", "['cache_directory']"),
    Row("sd-sdxl-constant-warmup", CRASHED, WARMUP),
    Row("sd-sdxl-empty", CRASHED, NO_DATA, "exit code 0"),
    Row("sd-sdxl-full", steps=(1, 6), bar=(6, 6), pictures=(3, 6), saved=(3, 6, "final")),
    Row(
        "sd-sdxl-lora-good",
        steps=(1, 14),
        bar=(14, 14),
        pictures=(0, 5, 10),
        saved=(5, 10, "final"),
        states=(5, 10, "final"),
    ),
    Row(
        "sd-sdxl-lora-nan",
        DIVERGED,
        "the loss is not a finite number from step 2 on",
        steps=(1, 14),
        bar=(14, 14),
        pictures=(7, 14),
        saved=(7, 14, "final"),
    ),
    Row("sd-sdxl-missingdir", CRASHED, NO_DATA, "not directory:"),
    Row(
        "sd-sdxl-missingmodel",
        CRASHED,
        'ValueError: The provided pretrained_model_name_or_path "/nope/xl.safetensors" is neither a valid local path',
        "nor a valid repo id",
    ),
    Row("sd-sdxl-resume", steps=(1, 12), bar=(12, 14), saved=(2, 4, 6, 8, 10, 12, "final")),
    Row("sd-sdxl-resume-skip", steps=(5, 12), bar=(8, 10), saved=(6, 8, 10, 12, "final")),
    Row("sd-sdxl-sigterm", CRASHED, "it was killed from outside by SIGTERM", steps=(1, 43), bar=(43, 4000)),
    Row("sd-sdxl-sigterm-group", CRASHED, "it was killed from outside by SIGTERM", steps=(1, 9), bar=(10, 4000)),
)


class Replay:
    """A recorded run put back on disk as bracket would find it: one log, and the files its tree lists."""

    def __init__(self, row: Row, folder: Path) -> None:
        self.row, self.recorded, self.folder = row, RUNS / row.name, folder
        self.musubi = row.name.startswith("musubi")
        self.log, self.out = folder / "trainer.log", folder / "out"
        words = shlex.split((self.recorded / "command.txt").read_text())
        self.output_name = words[len(words) - words[::-1].index("--output_name")] if "--output_name" in words else ""
        self.draws = "--sample_prompts" in words
        self.code: int = json.loads((self.recorded / "result.json").read_text())["exit_code"]
        self.prompts = prompts(RUNS / ("prompts_musubi.txt" if self.musubi else "prompts_sd.txt"))
        self.out.mkdir()
        self._leave()

    def scalars(self) -> dict[str, list[tuple[int, float]]]:
        """What TensorBoard's own reader found."""
        (recorded,) = json.loads((self.recorded / "tfevents.json").read_text()).values()
        return {tag: [(step, value) for step, value in points] for tag, points in recorded.items()}

    def trace(self) -> Trace:
        return Trace(self.out / "logs", MUSUBI_TAGS if self.musubi else SD_SCRIPTS_TAGS)

    def samples(self) -> list[Sample]:
        dialect = "musubi" if self.musubi else "sd-scripts"
        folder, per_epoch = self.out / "sample", self.row.steps_per_epoch
        return kohya_samples(folder, self.prompts, dialect=dialect, steps_per_epoch=per_epoch)

    def final(self) -> Path | None:
        saved = [s.path for s in kohya_checkpoints(self.out, self.output_name) if s.kind == "final"]
        return saved[0] if saved and loads(saved[0]) else None

    def classified(self, stopped: bool = False) -> tuple[Outcome, str]:
        """As the session does it."""
        final = self.final()
        return classify(
            self.code if self.code >= 0 else None,
            last_lines(self.log, LOG_LINES),
            checkpoint_ok=final is not None or self.row.saved is None,
            samples_ok=not self.draws or len(newest(self.samples())) == len(self.prompts),
            stopped=stopped,
            signal=-self.code if self.code < 0 else None,
            losses=open_trace(self.trace()).read_all().get("loss/train"),
            finite=is_finite_checkpoint(final) if final else None,
            signs=read_signs(self.log),
            steps=14,
        )

    def _leave(self) -> None:
        parts = [(self.recorded / f"{stream}.log").read_bytes() for stream in ("stdout", "stderr")]
        self.log.write_bytes(b"".join(parts))
        tree, types = self.recorded / "tree.txt", self.recorded / "safetensors.json"
        dtypes = json.loads(types.read_text()) if types.exists() else {}
        melted = self.row.outcome is DIVERGED
        for name in re.findall(r"/out/(\S+)$", tree.read_text() if tree.exists() else "", re.MULTILINE):
            path = self.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name.endswith("/"):
                path.mkdir(exist_ok=True)
            elif path.suffix == ".png":
                picture(path)
            elif path.suffix == ".safetensors":
                weights(path, dtypes[name]["dtypes"][0], (math.nan,) * 3 if melted else (0.5, -1.0, 2.0))
            elif path.name.startswith("events.out"):
                shutil.copy(self.recorded / path.name, path)


def prompts(path: Path) -> list[Prompt]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    found = []
    for line in lines:
        text, *options = line.split(" --")
        seed = next((int(option[2:]) for option in options if option.startswith("d ")), 0)
        found.append(Prompt(text, seed))
    return found


@pytest.fixture(params=ROWS, ids=lambda row: row.name)
def replay(request: pytest.FixtureRequest, tmp_path: Path) -> Replay:
    return Replay(request.param, tmp_path)


def test_every_recorded_run_has_its_row() -> None:
    assert sorted(folder.name for folder in RUNS.iterdir() if folder.is_dir()) == [row.name for row in ROWS]


def test_outcome_and_cause(replay: Replay) -> None:
    outcome, why = replay.classified()
    assert outcome is replay.row.outcome, why
    assert why.startswith(replay.row.says) and replay.row.also in why
    assert bool(why) == bool(replay.row.says)
    for noise in ("CalledProcessError", "returned non-zero exit status", "accelerate", "simple_launcher"):
        assert noise not in why


def test_the_curve_is_what_tensorboard_reads(replay: Replay) -> None:
    curves = open_trace(replay.trace()).read_all()
    if replay.row.steps is None:
        assert curves == {}
        return
    scalars = replay.scalars()
    last = dict(scalars.get("loss/current") or scalars["loss"])
    steps, losses = curves["loss/train"]
    assert (steps[0], steps[-1]) == replay.row.steps
    assert steps.tolist() == sorted(last)
    assert losses.tolist() == pytest.approx([last[step] for step in steps.tolist()], nan_ok=True)
    rates = dict(scalars["lr/unet"])
    assert curves["lr"][1].tolist() == pytest.approx([rates[step] for step in curves["lr"][0].tolist()])
    assert not any("epoch" in name for name in curves), "an epoch is no step"
    averages = dict(scalars.get("loss/average", []))
    assert dict(zip(*map(list, curves.get("loss/average", ((), ()))), strict=True)) == pytest.approx(
        averages, nan_ok=True
    )


def test_progress_at_the_end(replay: Replay, tmp_path: Path) -> None:
    path = tmp_path / "growing.log"
    bars = LogBars(path)
    text = replay.log.read_bytes()
    with path.open("ab", buffering=0) as log:
        for start in range(0, len(text), 1000):
            log.write(text[start : start + 1000])
            bars.read_new()
    if replay.row.bar is None:
        assert bars.bar is None
    else:
        assert bars.bar and (bars.bar.step, bars.bar.total) == replay.row.bar
        assert bars.phase == "training"
        assert bars.bar.speed is None or 0 < bars.bar.speed < 100


def test_pictures(replay: Replay) -> None:
    samples = replay.samples()
    assert Counter(sample.step for sample in samples) == dict.fromkeys(replay.row.pictures, len(replay.prompts))
    for number, sample in enumerate(samples):
        prompt = replay.prompts[number % len(replay.prompts)]
        assert (sample.prompt, sample.seed) == (prompt.text, prompt.seed)
        written = re.search(r"_(\d{14})_(\d+?)(?:_000)?\.png$", sample.path.name)
        if written and prompt.seed:
            assert int(written[2]) == prompt.seed, "the name agrees with the prompt it was joined to"


def test_checkpoints_and_states(replay: Replay) -> None:
    saved = kohya_checkpoints(replay.out, replay.output_name)
    assert tuple(s.number or "final" for s in saved) == (replay.row.saved or ())
    assert all(loads(s.path) for s in saved)
    states = kohya_states(replay.out, replay.output_name)
    assert tuple(s.number or "final" for s in states) == replay.row.states
    if final := replay.final():
        assert is_finite_checkpoint(final) is (replay.row.outcome is not DIVERGED)


@pytest.mark.parametrize("replay", [row for row in ROWS if "sig" in row.name], indirect=True, ids=lambda row: row.name)
def test_a_stop_that_bracket_asked_for_is_one(replay: Replay) -> None:
    assert replay.classified(stopped=True) == (STOPPED, "it was stopped")


# AI-Toolkit: made from its sources (names, texts, table layout), not recorded; it needs a GPU to run.

BAR = "my_lora: {:3d}%|{}| {}/20 [00:21<00:40,  {}.50it/s, lr: 1.0e-04 loss: {:.3e}]"
SKIP = "\n################################################\n# OOM during training step, skipping batch 1/3 #\n"
EMPTY = """\
Running 1 job
Error running job: no images found in /home/user/pictures

========================================
Result:
 - 0 completed jobs
 - 1 failure
========================================
Traceback (most recent call last):
  File "/home/user/ai-toolkit/run.py", line 134, in main
    job.run()
  File "/home/user/ai-toolkit/toolkit/data_loader.py", line 500, in __init__
    assert len(self.file_list) > 0, f"no images found in {self.dataset_path}"
AssertionError: no images found in /home/user/pictures
"""
STOP = "Traceback (most recent call last):\nKeyboardInterrupt\n\n=====\nJob stopped\n=====\n"


class AiToolkitRun:
    """20 steps, drawn at 0, 10 and 20, saved at 10 and at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "my_lora", folder / "trainer.log"
        self.folder.mkdir()
        self.prompts = [Prompt("a dog", 42), Prompt("a cat", 7)]
        self.log.write_text(
            "Running job: my_lora\nLoading Z-Image model\nGenerating baseline samples before training\n"
        )

    def trained(self, *, finished: bool = True, extra: str = "") -> AiToolkitRun:
        log = Log(self.folder / "loss_log.db").tables()
        bars = ["my_lora:   0%|          | 0/20 [00:00<?, ?it/s]"]
        for step in range(1, 20):  # the first step (0) isn't logged
            log.write(step, 1000.0 + step, learning_rate=1e-4, loss__loss=1 / step)
            bars.append(BAR.format(5 * step, "#", step, 2, 1 / step))
        log.write(19, 1019.0, val__loss=0.25)
        log.database.close()
        for time, step in enumerate((0, 10, 20)):
            for index in range(2):
                picture(self.folder / "samples" / f"17000000000{time}{index}__{step:09d}_{index}.jpg")
        weights(self.folder / "my_lora_000000010.safetensors", "BF16")
        (self.folder / "optimizer.pt").write_bytes(b"state")
        if finished:
            weights(self.folder / "my_lora.safetensors", "BF16")
        with self.log.open("a") as log_file:
            log_file.write("\r".join(bars) + "\n" + extra)
        return self

    def classified(self, code: int) -> tuple[Outcome, str]:
        final = [s.path for s in ai_toolkit_checkpoints(self.folder, "my_lora") if s.kind == "final"]
        return classify(
            code,
            last_lines(self.log, LOG_LINES),
            checkpoint_ok=bool(final) and loads(final[0]),
            samples_ok=len(newest(ai_toolkit_samples(self.folder / "samples", self.prompts))) == 2,
            losses=open_trace(Trace(self.folder / "loss_log.db", AI_TOOLKIT_TAGS)).read_all().get("loss/train"),
            finite=is_finite_checkpoint(final[0]) if final else None,
            signs=read_signs(self.log),
            steps=20,
        )


def test_an_ai_toolkit_run(tmp_path: Path) -> None:
    bars = LogBars(tmp_path / "trainer.log")
    run = AiToolkitRun(tmp_path)
    bars.read_new()
    assert (bars.bar, bars.phase) == (None, "sampling")
    run.trained()
    bars.read_new()
    assert bars.bar and (bars.bar.step, bars.bar.total, bars.bar.speed, bars.bar.loss) == (19, 20, 2.5, 0.05263)

    curves = open_trace(Trace(run.folder / "loss_log.db", AI_TOOLKIT_TAGS)).read_all()
    assert set(curves) == {"loss/train", "loss/validation", "lr"}
    assert curves["loss/train"][0].tolist() == list(range(1, 20))
    assert curves["loss/train"][1].tolist() == [1 / step for step in range(1, 20)]
    assert [part.tolist() for part in curves["loss/validation"]] == [[19], [0.25]]

    samples = ai_toolkit_samples(run.folder / "samples", run.prompts)
    assert [(s.step, s.prompt, s.seed) for s in samples] == [
        (step, *prompt) for step in (0, 10, 20) for prompt in (("a dog", 42), ("a cat", 7))
    ]
    assert [(s.kind, s.number) for s in ai_toolkit_checkpoints(run.folder, "my_lora")] == [("step", 10), ("final", 0)]
    assert run.classified(0) == (Outcome.OK, "")


def test_ai_toolkit_runs_that_only_look_well(tmp_path: Path) -> None:
    for name, extra, signs, expected in (
        ("one", SKIP, Signs(1), (Outcome.OK, "1 of 20 steps were left out because memory ran out")),
        ("two", SKIP * 2, Signs(2), (Outcome.OUT_OF_MEMORY, "2 of 20 steps were left out because memory ran out")),
        ("nan", "loss is nan\n" * 3, Signs(0, 3), (DIVERGED, "the loss was NaN in 3 of 20 steps")),
    ):
        (tmp_path / name).mkdir()
        run = AiToolkitRun(tmp_path / name).trained(extra=extra)
        assert read_signs(run.log) == signs
        assert run.classified(0) == expected


def test_ai_toolkit_runs_that_failed_or_were_stopped(tmp_path: Path) -> None:
    stopped = AiToolkitRun(tmp_path).trained(finished=False, extra=STOP)
    assert stopped.classified(0) == (STOPPED, "it was interrupted from outside")
    with stopped.log.open("w") as log:
        log.write(EMPTY)
    outcome, why = stopped.classified(1)
    assert outcome is CRASHED
    assert why.splitlines()[0] == "AssertionError: no images found in /home/user/pictures"
    assert cause(EMPTY) == why
