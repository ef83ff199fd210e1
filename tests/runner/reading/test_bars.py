"""The training bar told from all others, and the phases, in lines as sd-scripts, musubi and AI-Toolkit draw them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bracket.runner.reading.bars import Bar, LogBars


def read(path: Path, text: str) -> LogBars:
    bars = LogBars(path)
    path.write_text(text, encoding="utf-8")
    bars.read_new()
    return bars


@pytest.mark.parametrize(
    ("text", "bar", "phase"),
    [
        (
            "\rsteps:  71%|███████▏  | 10/14 [00:10<00:04,  1.25s/it, avr_loss=1.07]",
            Bar(10, 14, 1.07, 0.8),
            "training",
        ),
        ("\rsteps:  71%|#######1  | 10/14 [00:10<00:04, 2.5it/s, avr_loss=nan]", Bar(10, 14, None, 2.5), "training"),
        (
            "\rsteps:  50%|█████     | 7/14 [00:10<00:04,  2.0it/s, Average key norm=0.1, Keys Scaled=3, avr_loss=0.5]",
            Bar(7, 14, 0.5, 2.0),
            "training",
        ),
        ("\rsteps:   0%|          | 0/14 [00:00<?, ?it/s]", Bar(0, 14, None, None), "training"),
        (
            "\rsteps:   7%|▋         | 1/14 [00:00<00:00, 1695.35it/s, avr_loss=1.07]",
            Bar(1, 14, 1.07, None),
            "training",
        ),
        (
            "\rHR_Krea2:  19%|#9        | 501/2600 [00:21<12:24:06, 2.00s/it, lr: 9.2e-05 loss: 6.988e-02]",
            Bar(501, 2600, 0.06988, 0.5),
            "training",
        ),
        ("\rHR_Krea2:  19%|#9        | 501/2600 [00:21<12:24:06, 21.27s/it]", None, ""),
        ("\rvalidation steps:  50%|█████     | 4/8 [00:00<00:00, 9.0it/s, val_avg_loss=0.1]", None, "validating"),
        ("\repoch validation steps:  50%|█████   | 4/8 [00:00<00:00, 9.0it/s, timestep=200]", None, "validating"),
        ("\rSampling:  75%|███████▌  | 3/4 [00:00<00:00, 21.27it/s]\x1b[A", None, "sampling"),
        ("\rGenerating Images:  25%|##5       | 1/4 [00:09<00:27,  9.1s/it]", None, "sampling"),
        ("\nGenerating baseline samples before training\n", None, "sampling"),
        ("\rLoading zimage_dit.safetensors:   0%|          | 0/103 [00:00<?, ?it/s]", None, "loading the model"),
        ("INFO:musubi_tuner.training.trainer_base:Loading DiT model from /a\n", None, "loading the model"),
        ("INFO     loading model for process 0/1 sdxl_train_util.py:32\n", None, "loading the model"),
        ("\rread caption: 100%|██████████| 12/12 [00:00<00:00, 99.0it/s]", None, "reading the dataset"),
        (
            "INFO     caching latents with caching strategy.\n\r 50%|█████   | 6/12 [00:01<00:01]",
            None,
            "caching latents",
        ),
        ("INFO:musubi_tuner.cache_latents:Encoding dataset [0]\n\r3it [00:00, 3.0it/s]", None, "caching latents"),
        (
            "INFO:musubi_tuner.cache_text_encoder_outputs:Encoding dataset [0]\n",
            None,
            "caching text embeddings",
        ),
        ("\rCaching latents to disk:  50%|#####     | 6/12 [00:01<00:01, 3.0it/s]", None, "caching latents"),
    ],
)
def test_lines(tmp_path: Path, text: str, bar: Bar | None, phase: str) -> None:
    bars = read(tmp_path / "log", text)
    if bar and "nan" in text:
        assert bars.bar and bars.bar.loss != bars.bar.loss and bars.bar.step == bar.step
    else:
        assert bars.bar == bar
    assert bars.phase == phase


def test_the_training_bar_stays_under_other_bars(tmp_path: Path) -> None:
    bars = read(
        tmp_path / "log", "\rsteps:  36%|███▌      | 5/14 [00:02<00:03,  2.0it/s, avr_loss=1.29]INFO:a:generating "
    )
    with (tmp_path / "log").open("a") as log:
        log.write("sample images at step: 5\n\r  0%|          | 0/4 [00:00<?, ?it/s]\x1b[A")
    bars.read_new()
    assert bars.bar == Bar(5, 14, 1.29, 2.0) and bars.phase == "sampling"
    with (tmp_path / "log").open("a") as log:
        log.write("\rsteps:  43%|████▎     | 6/14 [00:02<00:03,  2.0it/s, avr_l")
        log.flush()
        bars.read_new()
        assert bars.bar.step == 5
        log.write("oss=1.25]")
    bars.read_new()
    assert bars.bar == Bar(6, 14, 1.25, 2.0) and bars.phase == "training"


def test_of_much_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    bars = LogBars(path, limit=200)
    bars.read_new()
    line = "\rsteps:  36%|███▌      | {}/9999 [00:02<00:03,  2.0it/s, avr_loss=1.29]"
    path.write_text("".join(line.format(step) for step in range(1000)), encoding="utf-8")
    bars.read_new()
    assert bars.bar and bars.bar.step == 999
    path.write_text("begun anew\n")
    bars.read_new()
    assert bars.bar is None
