"""Causes found in what real trainers wrote: excerpts of recorded sd-scripts and musubi-tuner runs."""

from __future__ import annotations

from bracket.runner.reading.cause import cause
from tests.runner.excerpts import ACCELERATE, BAD_FLAG, GOOD_BAR, NO_DATA, WARMUP


def test_the_trainers_exception_not_the_launchers() -> None:
    headline, *context = cause(WARMUP + ACCELERATE).splitlines()
    assert headline == "ValueError: SchedulerType.CONSTANT does not require `num_warmup_steps`. Set None or 0."
    assert context[-1].strip() == 'raise ValueError(f"{name} does not require `num_warmup_steps`. Set None or 0.")'
    assert "^" not in "".join(context)
    assert len(context) == 4


def test_a_refused_flag() -> None:
    assert cause(BAD_FLAG + ACCELERATE) == "sdxl_train_network.py: error: unrecognized arguments: --no_such_flag 1"


def test_an_error_that_is_only_logged() -> None:
    headline, *context = cause(NO_DATA).splitlines()
    assert headline.startswith("No data found. Please verify arguments (train_data_dir must be the parent of folders")
    assert headline.endswith(" with images)")
    assert context == ["  ignore subset with image_dir='/home/user/pictures/of/my/dog/in/the/garden': no images found"]


def test_an_error_musubi_logs() -> None:
    assert cause("ERROR:musubi_tuner.dataset.config_utils:Invalid user config / ユーザ設定\n") == "Invalid user config"


def test_an_exception_in_two_languages() -> None:
    log = "steps:   0%|          | 0/14 [00:00<?, ?it/s]Traceback (most recent call last):\n  File 'a.py', line 3\n"
    log += "ValueError: either --sdpa or --xformers must be specified / --sdpa, --xformersを指定してください\n"
    assert cause(log + ACCELERATE).splitlines()[0] == "ValueError: either --sdpa or --xformers must be specified"


def test_an_error_glued_to_a_bar() -> None:
    log = "steps:  36%|███▌      | 5/14 [00:02<00:03,  2.0it/s, avr_loss=1.29]ERROR:a.b:the disk is full\n"
    assert cause(log) == "the disk is full"


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
