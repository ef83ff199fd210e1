"""Whole trials on a tiny untrained pipeline."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bracket.files import read_json_lines
from bracket.training.config.reading import read_trials

Config = dict[str, Any]
Train = Callable[..., int]


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every point of every event file, in the order written."""
    points: dict[str, list[tuple[int, float]]] = {}
    for path in sorted((folder / "tfevents").iterdir()):
        reader = EventAccumulator(str(path))
        reader.Reload()
        for tag in reader.Tags()["scalars"]:
            points.setdefault(tag, []).extend((e.step, e.value) for e in reader.Scalars(tag))
    return points


def weights(folder: Path, checkpoint: str = "final") -> bytes:
    return (folder / "checkpoints" / checkpoint / "pytorch_lora_weights.safetensors").read_bytes()


def test_a_trial_leaves_everything_it_should(config: Config, train: Train) -> None:
    out = Path(config["output_dir"])
    code = train(config, validation__every=2, checkpoint__every=2, checkpoint__keep=1, sample__every=4)
    assert code == 0
    points = scalars(out)
    assert set(points) == {"loss/train", "loss/validation", "lr", "grad_norm", "speed/steps_per_second"}
    assert [step for step, _ in points["loss/train"]] == [1, 2, 3, 4, 5, 6]
    assert [step for step, _ in points["loss/validation"]] == [0, 2, 4, 6]
    assert points["loss/validation"][-1][1] < points["loss/validation"][0][1]
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == ["final", "step-000004"]
    for name in ("final", "step-000004"):
        assert {p.name for p in (out / "checkpoints" / name).iterdir()} == {
            "pytorch_lora_weights.safetensors", "state.pt", "complete",
        }  # fmt: skip
    assert read_json_lines(out / "samples" / "index.jsonl") == [
        {"path": f"step-00000{step}/000-s5.png", "prompt": "a zorp", "seed": 5, "step": step} for step in (4, 6)
    ]
    for line in read_json_lines(out / "samples" / "index.jsonl"):
        assert Image.open(out / "samples" / line["path"]).size == (64, 64)
    (resolved,) = read_trials(out / "config.yaml")
    assert resolved.train.steps == 6 and resolved.sample.every == 4


def test_load_lora_weights_reproduces_the_samples(config: Config, train: Train, model: Path) -> None:
    import torch
    from diffusers import Flux2KleinPipeline

    config["lora"]["alpha"] = 16
    config["optimizer"]["learning_rate"] = 0.1
    out = Path(config["output_dir"])
    assert train(config) == 0
    pipeline = Flux2KleinPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def drawn() -> np.ndarray[Any, np.dtype[np.int64]]:
        (image,) = pipeline(
            prompt=["a zorp"], width=64, height=64, num_inference_steps=2, guidance_scale=3.0,
            max_sequence_length=16, text_encoder_out_layers=(1, 2, 3),
            generator=[torch.Generator().manual_seed(5)],
        ).images  # fmt: skip
        return np.asarray(image, np.int64)

    sample = np.asarray(Image.open(out / "samples" / "step-000006" / "000-s5.png"), np.int64)
    assert np.abs(drawn() - sample).max() > 3, "the LoRA changed nothing, so the test would show nothing"
    pipeline.load_lora_weights(out / "checkpoints" / "final")
    assert np.abs(drawn() - sample).max() <= 1


def interrupt(process: subprocess.Popen[str], out: Path, step: int) -> str:
    """SIGINT after the given step shows in the log of events; returns stderr."""
    while process.poll() is None:
        if (out / "checkpoints" / f"step-{step:06d}").exists():
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.02)
    _, told = process.communicate()
    return told


@pytest.mark.slow
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(
    config: Config, train: Train, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    config["lora"]["dropout"] = 0.2
    config["data"]["caption_dropout"] = 0.3
    config["train"] |= {"steps": 60, "schedule": "cosine", "warmup_steps": 5, "gradient_accumulation": 2}
    config["checkpoint"] = {"every": 5}
    config["sample"]["every"] = 30
    config["loss"] = {"weighting": "logit_normal"}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert train({**config, "output_dir": str(whole)}) == 0
    path = tmp_path / "broken.yaml"
    path.write_text(yaml.safe_dump({**config, "output_dir": str(broken)}))
    told = interrupt(process := start("bracket.training", str(path)), broken, 5)
    assert process.returncode == 130, told
    stopped = max((broken / "checkpoints").iterdir())
    assert f"Stopped after step {int(stopped.name[5:])}" in told
    assert not (broken / "checkpoints" / "final").exists()
    # What a kill leaves behind: points and a picture after the last checkpoint.
    (broken / "samples" / "step-000050").mkdir(parents=True, exist_ok=True)
    with (broken / "samples" / "index.jsonl").open("a") as index:
        index.write(json.dumps({"path": "step-000050/000-s5.png", "prompt": "a zorp", "seed": 5, "step": 50}) + "\n")
    assert train({**config, "output_dir": str(broken)}, "--resume") == 0
    assert weights(broken) == weights(whole)
    expected, got = scalars(whole), scalars(broken)
    for tag in ("loss/train", "loss/validation", "lr", "grad_norm"):
        assert got[tag] == expected[tag]
    index_of = [read_json_lines(f / "samples" / "index.jsonl") for f in (whole, broken)]
    assert index_of[0] == index_of[1]
    for line in index_of[0]:
        assert (whole / "samples" / line["path"]).read_bytes() == (broken / "samples" / line["path"]).read_bytes()


def test_resume_after_a_kill_goes_back_to_the_checkpoint(config: Config, train: Train, tmp_path: Path) -> None:
    """A checkpoint of step 4, and events up to step 6: what is left when a run is killed before it saves again."""
    import shutil

    out = Path(config["output_dir"])
    assert train(config, checkpoint__every=4) == 0
    expected, points = weights(out), scalars(out)
    shutil.rmtree(out / "checkpoints" / "final")
    (out / "checkpoints" / "step-000005").mkdir()
    assert train(config, "--resume", checkpoint__every=4) == 0
    assert weights(out) == expected
    assert scalars(out)["loss/train"] == points["loss/train"]
    assert scalars(out)["loss/validation"] == points["loss/validation"]
    assert len(read_json_lines(out / "samples" / "index.jsonl")) == 1


def test_resume_draws_the_samples_that_a_kill_prevented(config: Config, train: Train) -> None:
    out = Path(config["output_dir"])
    assert train(config) == 0
    picture = out / "samples" / "step-000006" / "000-s5.png"
    drawn = picture.read_bytes()
    picture.unlink()
    (out / "samples" / "index.jsonl").unlink()
    points = scalars(out)["loss/train"]
    assert train(config, "--resume") == 0
    assert picture.read_bytes() == drawn
    assert scalars(out)["loss/train"] == points


def test_a_finished_run_goes_on_when_asked_for_more_steps(config: Config, train: Train, tmp_path: Path) -> None:
    assert train(config) == 0
    assert train(config, "--resume", train__steps=9) == 0
    longer = tmp_path / "longer"
    assert train(config, output_dir=str(longer), train__steps=9) == 0
    assert weights(Path(config["output_dir"])) == weights(longer)


def test_resume_with_other_settings_is_refused(
    config: Config, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(config) == 0
    assert train(config, "--resume", lora__rank=2, train__batch_size=3) == 2
    assert "other settings: lora.rank, train.batch_size" in capsys.readouterr().err
    assert train(config) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_a_huge_learning_rate_diverges_with_its_own_code(
    config: Config, train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(config, optimizer__learning_rate=1e30) == 3
    assert "Diverged at step" in capsys.readouterr().err
    assert not (Path(config["output_dir"]) / "checkpoints").exists()


def test_batch_size_loss_and_order_do_not_change_how_the_base_is_measured(
    config: Config, train: Train, tmp_path: Path
) -> None:
    """The validation loss at step 0 is the base's own, for every config the same to the last bit."""
    values = set()
    for number, changes in enumerate(({}, {"train__batch_size": 3}, {"loss__base": "l1", "seed": 8, "lora__rank": 1})):
        folder = tmp_path / str(number)
        assert train(config, train__steps=1, output_dir=str(folder), **changes) == 0
        values.add(scalars(folder)["loss/validation"][0][1])
    assert len(values) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"train__gradient_checkpointing": True, "train__gradient_accumulation": 2},
        {"dtype": "bfloat16", "loss__weighting": "mode", "loss__base": "logcosh"},
        {"loss__weighting": "sigma_sqrt", "loss__base": "huber", "train__schedule": "linear"},
        {"optimizer__name": "adafactor", "loss__weighting": "cosmap", "lora__targets": ["to_q", "to_k"]},
        {"train__batch_size": 16, "data__buckets": False},
    ],
)
def test_other_ways_to_train_run_to_their_end(config: Config, train: Train, changes: dict[str, object]) -> None:
    assert train(config, train__steps=2, **changes) == 0
    values = scalars(Path(config["output_dir"]))["loss/train"]
    assert len(values) == 2


def test_checkpointing_and_accumulation_do_not_change_what_is_learned(
    config: Config, train: Train, tmp_path: Path
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    assert train(config, output_dir=str(a)) == 0
    assert train(config, output_dir=str(b), train__gradient_checkpointing=True) == 0
    assert [v for _, v in scalars(a)["loss/train"]] == pytest.approx([v for _, v in scalars(b)["loss/train"]], rel=1e-5)


def test_several_trials_of_one_launch_equal_the_same_trials_alone(config: Config, train: Train, tmp_path: Path) -> None:
    a, b, c, alone = (tmp_path / name for name in ("a", "b", "c", "alone"))
    rows = [
        {"output_dir": str(a), "set": {"lora.rank": 2}},
        {"output_dir": str(b), "set": {"optimizer.learning_rate": 1e30}},
        {"output_dir": str(c), "seed": 3},
    ]
    assert train({**config, "trials": rows}) == 3
    assert train(config, output_dir=str(alone), seed=3) == 0
    assert weights(c) == weights(alone)
    codes = [json.loads((folder / "exit.json").read_text())["code"] for folder in (a, b, c)]
    assert codes == [0, 3, 0]


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"data": {"folder": "nowhere"}}, "nowhere"),
        ({"model": {"path": "./nowhere"}}, "nowhere"),
        ({"device": "gpu7"}, "gpu7"),
        ({"optimizer": {"learning_rat": 1}}, "optimizer.learning_rate"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(
    config: Config, train: Train, capsys: pytest.CaptureFixture[str], tree: Config, said: str
) -> None:
    assert train({**config, **tree}) == 2
    told = capsys.readouterr().err.strip()
    assert said in told and "\n" not in told
    assert not Path(config["output_dir"]).exists()


def test_the_first_sigint_asks_and_the_second_interrupts() -> None:
    import os

    from bracket.training.trial.loop import Stop

    stop = Stop()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    assert signal.getsignal(signal.SIGINT) == before


def test_a_stop_before_the_first_step_saves_nothing_and_starts_anew(
    config: Config, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bracket.training.trial.loop import Stop

    out = Path(config["output_dir"])
    with monkeypatch.context() as patched:
        patched.setattr(Stop, "__call__", lambda self: True)
        assert train(config) == 130
    assert not (out / "checkpoints").exists()
    assert train(config, "--resume") == 0
    assert [step for step, _ in scalars(out)["loss/validation"]] == [0, 6]


@pytest.mark.slow
def test_two_processes_may_fill_one_cache_at_once(
    config: Config, start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    from bracket.training.data.cache import read

    config["data"]["cache_dir"] = str(tmp_path / "cache")
    path = tmp_path / "prepare.yaml"
    path.write_text(yaml.safe_dump(config))
    both = [start("bracket.training.prepare", str(path)) for _ in range(2)]
    told = [process.communicate(timeout=100)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    files = sorted((tmp_path / "cache").rglob("*"))
    held = [read(p) for p in files if p.suffix == ".safetensors"]
    assert len(held) == len([p for p in files if p.is_file()])
    assert not Path(config["output_dir"]).exists()


def test_every_accumulated_pass_draws_noise_of_its_own(
    config: Config, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    drawn: list[bytes] = []

    def recorded(like: torch.Tensor) -> torch.Tensor:
        noise = torch.randn(like.shape)
        drawn.append(noise[0].numpy().tobytes())
        return noise

    monkeypatch.setattr(torch, "randn_like", recorded)
    assert train(config, train__gradient_accumulation=3, train__steps=2, sample__every=0) == 0
    assert len(drawn) == len(set(drawn)) == 6
