"""How a run ended, told from its exit, its log and its curves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bracket.domain import Outcome
from bracket.runner.reading.events import Curve
from bracket.runner.reading.outcome import classify, hang_limit
from bracket.runner.reading.signs import Signs, read_signs
from tests.runner.excerpts import ACCELERATE, GOOD_BAR, NAN_BAR, NO_DATA, OUT_OF_MEMORY, WARMUP

RESULT = """\
Error running job: OOM during training step 3 times in a row, aborting training

========================================
Result:
 - 0 completed jobs
 - 1 failure
========================================
Traceback (most recent call last):
  File "/home/user/ai-toolkit/run.py", line 134, in main
    job.run()
RuntimeError: OOM during training step 3 times in a row, aborting training
"""
"""AI-Toolkit's words (from its source) when memory ran out too often."""
BANNER = "========================================\nJob stopped\n========================================\n"


def curve(values: list[float]) -> Curve:
    return np.arange(1, len(values) + 1), np.array(values)


@pytest.mark.parametrize(
    ("code", "signal", "log", "checkpoint", "samples", "outcome", "says"),
    [
        (0, None, GOOD_BAR, True, True, Outcome.OK, ""),
        (0, None, GOOD_BAR, True, False, Outcome.NO_SAMPLES, "not all samples"),
        (0, None, GOOD_BAR, False, False, Outcome.CRASHED, "exit code 0 but left no checkpoint"),
        (0, None, NO_DATA, False, False, Outcome.CRASHED, "No data found"),
        (0, None, NAN_BAR, True, True, Outcome.DIVERGED, "avr_loss=nan"),
        (3, None, "loss=0.3\nloss became inf at step 12", False, False, Outcome.DIVERGED, "no longer a finite number"),
        (4, None, "not enough memory for this batch size", False, False, Outcome.OUT_OF_MEMORY, "out of memory"),
        (1, None, OUT_OF_MEMORY + ACCELERATE, False, False, Outcome.OUT_OF_MEMORY, "Tried to allocate 1.50 GiB"),
        (1, None, "loss=nan\n" + OUT_OF_MEMORY, False, False, Outcome.OUT_OF_MEMORY, "Tried to allocate"),
        (
            2,
            None,
            "reading\nlora.rang: unknown key, did you mean lora.rank?",
            False,
            False,
            Outcome.CRASHED,
            "lora.rank",
        ),
        (1, None, WARMUP + ACCELERATE, False, False, Outcome.CRASHED, "SchedulerType.CONSTANT"),
        (1, None, WARMUP, True, True, Outcome.CRASHED, "SchedulerType.CONSTANT"),
        (130, None, "saved a checkpoint", True, False, Outcome.STOPPED, "interrupted"),
        (None, 9, GOOD_BAR, False, False, Outcome.CRASHED, "SIGKILL; the system does that when memory"),
        (None, 11, GOOD_BAR, False, False, Outcome.CRASHED, "SIGSEGV"),
        (
            1,
            None,
            "subprocess.CalledProcessError: died with <Signals.SIGKILL: 9>.",
            False,
            False,
            Outcome.CRASHED,
            "RAM",
        ),
        (137, None, GOOD_BAR, False, False, Outcome.CRASHED, "SIGKILL"),
        (None, None, GOOD_BAR, True, True, Outcome.CRASHED, "without leaving an exit status"),
        (1, None, RESULT, False, False, Outcome.OUT_OF_MEMORY, "3 times in a row"),
        (0, None, BANNER, False, False, Outcome.STOPPED, "interrupted"),
        (1, None, "Error running job: Job stopped\nException: Job stopped\n", False, False, Outcome.STOPPED, ""),
    ],
)
def test_classes(
    code: int | None, signal: int | None, log: str, checkpoint: bool, samples: bool, outcome: Outcome, says: str
) -> None:
    found, why = classify(code, log, checkpoint, samples, signal=signal)
    assert found is outcome
    assert says in why
    assert "returned non-zero exit status" not in why


def test_a_stop_is_a_stop_whatever_the_exit_looks_like() -> None:
    for code, signal in ((130, None), (1, None), (None, 15), (None, 9), (0, None)):
        assert classify(code, GOOD_BAR, False, False, stopped=True, signal=signal)[0] is Outcome.STOPPED


def test_a_trial_that_finished_before_the_stop_reached_it_counts() -> None:
    assert classify(0, GOOD_BAR, True, True, stopped=True)[0] is Outcome.OK


def test_a_hang_shows_the_last_lines() -> None:
    outcome, why = classify(None, "loading\n" + GOOD_BAR, False, False, stopped=True, silent_for=612.4, signal=9)
    assert outcome is Outcome.HUNG
    assert why == f"no sign of life for 612 s, so it was stopped\n  loading\n  {GOOD_BAR}"


def test_silence_is_measured_in_steps_where_steps_are_slow() -> None:
    assert hang_limit(None) == hang_limit(4.0) == 600.0
    assert hang_limit(0.02) == 1000.0


def test_the_last_loss_decides() -> None:
    assert classify(0, "loss: nan\nloss: 0.25", True, True)[0] is Outcome.OK
    assert classify(0, "loss: 0.5, val_loss: nan", True, True)[0] is Outcome.OK
    assert classify(0, "{'loss': -inf}", True, True)[0] is Outcome.DIVERGED
    assert classify(0, "", True, True, losses=curve([0.5, float("inf")]))[0] is Outcome.DIVERGED
    assert classify(0, "", True, True, losses=curve([0.5, 0.1]))[0] is Outcome.OK
    assert classify(0, NAN_BAR, True, True, losses=curve([0.5, math.nan, 0.1]))[0] is Outcome.OK, "it recovered"


def test_a_nan_in_the_curve_says_from_which_step() -> None:
    losses = np.array([2, 4, 6, 8]), np.array([1.1, math.nan, math.nan, math.nan])
    assert classify(0, GOOD_BAR, True, True, losses=losses) == (
        Outcome.DIVERGED,
        "the loss is not a finite number from step 4 on",
    )
    assert "step 1 on" in classify(0, GOOD_BAR, True, True, losses=curve([math.nan] * 3))[1]
    assert "step 3 on" in classify(0, GOOD_BAR, True, True, losses=curve([math.nan, 1.0, math.nan]))[1]


def test_weights_that_are_no_numbers_are_divergence() -> None:
    assert classify(0, GOOD_BAR, True, True, finite=False)[0] is Outcome.DIVERGED
    assert classify(0, GOOD_BAR, True, True, finite=True)[0] is Outcome.OK
    assert classify(0, GOOD_BAR, True, True, finite=None)[0] is Outcome.OK


@pytest.mark.parametrize(
    ("start", "end", "outcome"),
    [
        (0.1, 1.2, Outcome.DIVERGED),
        (1.0, 11.0, Outcome.DIVERGED),
        (1.0, 9.0, Outcome.OK),
        (0.01, 0.9, Outcome.OK),  # far below 1 a loss may grow without harm
        (1.0, 0.5, Outcome.OK),
    ],
)
def test_a_loss_far_above_its_start_is_divergence(start: float, end: float, outcome: Outcome) -> None:
    losses = curve([start] * 10 + [end] * 10)
    found, why = classify(0, GOOD_BAR, True, True, losses=losses)
    assert found is outcome
    assert why == (f"the loss rose from {start:.3g} at its start to {end:.3g} at its end" if why else "")
    assert classify(0, GOOD_BAR, True, True, losses=curve([start] * 5 + [end] * 5))[0] is Outcome.OK, "too short to say"
    assert classify(0, GOOD_BAR, True, True, losses=curve([start] * 19 + [end]))[0] is Outcome.OK, "one spike"


def test_steps_that_were_left_out_are_counted(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert read_signs(log) == Signs()
    banner = (
        "\n################\n# OOM during training step, skipping batch 1/3 #\n################\n\r x:  1%|#  | 1/100 "
    )
    log.write_text(
        banner * 3 + "loss is nan\r\nPrior loss is nan\nitemized_loss is nan\n" + "OOM during training step,"
    )
    assert read_signs(log) == Signs(skipped=3, nan=2)
    assert classify(0, "", True, True, signs=Signs(skipped=3), steps=60) == (
        Outcome.OK,
        "3 of 60 steps were left out because memory ran out",
    )
    assert classify(0, "", True, True, signs=Signs(skipped=4), steps=60) == (
        Outcome.OUT_OF_MEMORY,
        "4 of 60 steps were left out because memory ran out",
    )
    assert classify(0, "", True, True, signs=Signs(nan=2), steps=60) == (
        Outcome.DIVERGED,
        "the loss was NaN in 2 of 60 steps",
    )


def test_a_log_longer_than_a_block_is_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(("x" * 999 + "\n") * 1048 + "y" * 1000 + "loss is nan\n" + "z" * 100)
    assert read_signs(log) == Signs(nan=0), "not a word of its own"
    log.write_text(("x" * 999 + "\n") * 1048 + " " * 570 + "loss is nan\n" + "z" * 100)
    assert read_signs(log) == Signs(nan=1)
