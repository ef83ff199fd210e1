"""Causes found in what real trainers wrote (excerpts of recorded sd-scripts and musubi-tuner runs), and the classes."""

from __future__ import annotations

import pytest

from bracket.domain import Outcome
from bracket.runner.outcome import cause, classify, hang_limit

ACCELERATE = """\
Traceback (most recent call last):
  File "/home/user/sd/.venv/bin/accelerate", line 8, in <module>
    sys.exit(main())
             ^^^^^^
  File "/home/user/sd/.venv/lib/python3.11/site-packages/accelerate/commands/launch.py", line 795, in simple_launcher
    raise subprocess.CalledProcessError(returncode=process.returncode, cmd=cmd)
subprocess.CalledProcessError: Command '['/home/user/sd/.venv/bin/python3.11', 'sdxl_train_network.py', '--sdpa']' \
returned non-zero exit status 1.
"""
WARMUP = """\
                    INFO     use AdamW optimizer | {}         train_util.py:5096
Traceback (most recent call last):
  File "/home/user/sd-scripts/sdxl_train_network.py", line 234, in <module>
    trainer.train(args)
  File "/home/user/sd-scripts/library/train_util.py", line 5330, in get_scheduler_fix
    return wrap_check_needless_num_warmup_steps(schedule_func(optimizer, **lr_scheduler_kwargs))
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/home/user/sd-scripts/library/train_util.py", line 5296, in wrap_check_needless_num_warmup_steps
    raise ValueError(f"{name} does not require `num_warmup_steps`. Set None or 0.")
ValueError: SchedulerType.CONSTANT does not require `num_warmup_steps`. Set None or 0.
"""
BAD_FLAG = """\
                             [--cache_text_encoder_outputs]
                             [--disable_mmap_load_safetensors]
sdxl_train_network.py: error: unrecognized arguments: --no_such_flag 1
"""
NO_DATA = """\
                    INFO     mean ar error (without repeats): train_util.py:1074
                             0
                    ERROR    No data found. Please verify   train_network.py:576
                             arguments (train_data_dir must
                             be the parent of folders with
                             images) /
"""
OUT_OF_MEMORY = """\
steps:   0%|          | 0/200 [00:00<?, ?it/s]Traceback (most recent call last):
  File "/home/user/musubi-tuner/zimage_train_network.py", line 4, in <module>
    main()
  File "/home/user/musubi/.venv/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 125, in forward
    return F.linear(input, self.weight, self.bias)
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 23.53 GiB of \
which 1.12 GiB is free.
steps:   0%|          | 0/200 [00:07<?, ?it/s]
"""
NAN_BAR = "steps: 100%|██████████| 14/14 [00:12<00:00,  1.14it/s, avr_loss=nan]"
GOOD_BAR = "steps: 100%|██████████| 14/14 [00:06<00:00,  2.13it/s, avr_loss=1.2]"


def test_the_trainers_exception_not_the_launchers() -> None:
    headline, *context = cause(WARMUP + ACCELERATE).splitlines()
    assert headline == "ValueError: SchedulerType.CONSTANT does not require `num_warmup_steps`. Set None or 0."
    assert context[-1].strip() == 'raise ValueError(f"{name} does not require `num_warmup_steps`. Set None or 0.")'
    assert "^" not in "".join(context)
    assert len(context) == 4


def test_a_refused_flag() -> None:
    assert cause(BAD_FLAG + ACCELERATE) == "sdxl_train_network.py: error: unrecognized arguments: --no_such_flag 1"


def test_an_error_that_is_only_logged() -> None:
    assert cause(NO_DATA).splitlines() == [
        "ERROR    No data found. Please verify   train_network.py:576",
        "                             arguments (train_data_dir must",
        "                             be the parent of folders with",
        "                             images) /",
    ]


def test_the_last_of_chained_exceptions() -> None:
    log = """\
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    weights["lora"]
KeyError: 'lora'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
    raise RuntimeError("no LoRA in this file")
RuntimeError: no LoRA in this file
"""
    assert cause(log).startswith("RuntimeError: no LoRA in this file\n")


def test_lines_that_belong_to_the_message_are_kept() -> None:
    log = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "a.py", line 3, in <module>
[rank0]:     model.load_state_dict(state)
[rank0]: RuntimeError: Error(s) in loading state_dict for Transformer:
[rank0]: \tMissing key(s) in state_dict: "x_embedder.weight".
steps:   0%|          | 0/14 [00:00<?, ?it/s]
"""
    headline, *context = cause(log).splitlines()
    assert headline == "RuntimeError: Error(s) in loading state_dict for Transformer:"
    assert context[-1].strip() == 'Missing key(s) in state_dict: "x_embedder.weight".'


def test_no_reason_is_no_reason() -> None:
    assert cause("loading\n" + GOOD_BAR) == ""
    assert cause(ACCELERATE) == ""


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
    assert classify(0, "", True, True, last_loss=float("inf"))[0] is Outcome.DIVERGED
    assert classify(0, "", True, True, last_loss=0.1)[0] is Outcome.OK
