"""What the two kohya trainers share, and the checker that holds their command lines to the recorded parsers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from bracket.domain import DatasetSplit, Knob, Launch, Picture
from bracket.files import write_json
from bracket.presets import find_preset
from bracket.trainers import Job, bare_job
from bracket.trainers.kohya.common import (
    config_of,
    dataset_options,
    dataset_variants,
    interval,
    is_prepared,
    with_path,
)
from bracket.trainers.kohya.flags import flags
from tests.trainers.presets_contract import check_argv, recorded

SDXL = recorded("sd-scripts", "sdxl_train_network.py")


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["--network_dims", "8"], "--network_dims is unknown to sdxl_train_network"),
        (["--network_di", "8"], "--network_di is unknown to sdxl_train_network"),
        (["--network_dim", "8.0"], "--network_dim: '8.0' is no int"),
        (["--network_dim"], "--network_dim: takes one value, got 0: "),
        (["--network_dim", "8", "16"], "--network_dim: takes one value, got 2: 8 16"),
        (["--network_dim", "8", "--network_dim", "8"], "--network_dim comes 2 times"),
        (["--sdpa", "yes"], "--sdpa: takes no value, got yes"),
        (["--lr_warmup_steps", "1.5"], "--lr_warmup_steps: '1.5' is no int_or_float"),
        (["--text_encoder_lr", "1e-4", "x"], "--text_encoder_lr: 'x' is no float"),
        (["--loss_type=l3"], "--loss_type: 'l3' is none of ['l1', 'l2', 'huber', 'smooth_l1']"),
    ],
)
def test_the_checker_refuses_what_argparse_refuses(argv: list[str], problem: str) -> None:
    assert check_argv(["python", "sdxl_train_network.py", *argv], SDXL) == [problem]


def test_the_checker_accepts_what_argparse_accepts() -> None:
    argv = ["--optimizer_args", "--seed=-1", "--text_encoder_lr", "1e-4", "2e-4", "--lr_warmup_steps", "10%", "--sdpa"]
    assert check_argv(argv, SDXL) == []


def test_the_checker_asks_for_what_is_required(tmp_path: Path) -> None:
    parser = tmp_path / "cache.json"
    parser.write_text('{"options": {"--vae": {}, "--dataset_config": {"type": "Path", "required": true}}}')
    assert check_argv(["--vae", "x"], parser) == ["--dataset_config is required"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"--sdpa": True, "--seed": 3, "dataset.batch_size": 2}, ["--sdpa", "--seed", "3"]),
        ({"--sdpa": False, "--seed": None, "--optimizer_args": []}, []),
        ({"--learning_rate": 1e-05}, ["--learning_rate", "1e-05"]),
        ({"--text_encoder_lr": [1e-4, 1e-4]}, ["--text_encoder_lr", "0.0001", "0.0001"]),
        ({"--optimizer_args": ["a=1", "b=False"]}, ["--optimizer_args", "a=1", "b=False"]),
        (
            {"--network_args": ["conv_dim=4", "x=1"], "--network_args:x": 2, "--network_args:betas": [0.9, 0.99]},
            ["--network_args", "conv_dim=4", "x=2", "betas=0.9,0.99"],
        ),
        ({"--optimizer_args:relative_step": False}, ["--optimizer_args", "relative_step=False"]),
        ({"--output_name": "--x"}, ["--output_name=--x"]),
        ({"--shift": -1}, ["--shift=-1"]),
    ],
)
def test_settings_become_words(settings: dict[str, object], words: list[str]) -> None:
    assert flags(settings) == words


@pytest.mark.parametrize(
    ("steps", "every", "expected"), [(120, 0, 120), (120, 50, 60), (120, 7, 8), (120, 500, 120), (7, 2, 7), (1, 1, 1)]
)
def test_the_last_step_is_always_one_of_the_interval(steps: int, every: int, expected: int) -> None:
    assert interval(steps, every) == expected


def job_with(knobs: tuple[Knob, ...], fixed: dict[str, object], **options: object) -> Job:
    preset = find_preset("sd-scripts-sd15-lora")
    preset = preset.model_copy(update={"baseline": {k.name: (k.choices or (0,))[0] for k in knobs}})
    return replace(
        bare_job(preset), knobs=knobs, fixed=fixed, dataset=DatasetSplit(Path("/d"), (), (), (), (), options=options)
    )


def test_the_search_decides_over_the_datasets_file_and_that_over_the_preset() -> None:
    batch = Knob("batch", "choice", ("dataset.batch_size",), choices=(1, 4))
    fixed: dict[str, object] = {"dataset.resolution": 1024, "dataset.enable_bucket": True, "--seed": 1}
    job = job_with((batch,), fixed, batch_size=8, resolution=768)
    assert dataset_options(job, {**fixed, "dataset.batch_size": 4}) == {
        "resolution": 768, "enable_bucket": True, "batch_size": 4,
    }  # fmt: skip


def test_variants_are_of_what_is_cached_only() -> None:
    size = Knob("size", "choice", ("dataset.resolution",), choices=(512, 768))
    bundle = Knob("crop", "choice", choices=("a", "b"), means={"a": {}, "b": {"dataset.flip_aug": True}})
    batch = Knob("batch", "choice", ("dataset.batch_size",), choices=(1, 4))
    ranged = Knob("least", "int", ("dataset.min_bucket_reso",), low=1, high=2)
    job = job_with((size, bundle, batch, ranged), {})
    variants = dataset_variants(job, ("resolution", "flip_aug", "min_bucket_reso"))
    found = [(v["dataset.resolution"], v.get("dataset.flip_aug"), v["dataset.batch_size"]) for v in variants]
    assert found == [(512, None, 1), (512, True, 1), (768, None, 1), (768, True, 1)]
    assert len(dataset_variants(job, ())) == 1


def test_a_cache_is_prepared_when_its_launch_ended_well_for_these_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x")
    picture = Picture(tmp_path / "a.png", "a", 1, 1)
    launch = Launch((), ("python", "cache.py"), tmp_path, tmp_path / "cache.log")
    ended = tmp_path / "cache.exit.json"
    assert not is_prepared(launch, [picture])
    write_json(ended, {"code": 0, "signal": None, "ended": 0})
    assert is_prepared(launch, [picture])
    assert not is_prepared(replace(launch, argv=("python", "cache.py", "--x")), [picture])
    assert not ended.exists()  # it would be taken for the end of the new one
    write_json(ended, {"code": None, "signal": 9, "ended": 0})
    assert not is_prepared(launch, [picture])
    write_json(ended, {"code": 0, "signal": None, "ended": 0})
    assert not is_prepared(launch, [replace(picture, caption="b")])
    ended.write_text("{")
    assert not is_prepared(launch, [picture])


def test_the_environment_keeps_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_PATH", "/there")
    assert with_path("SOME_PATH", Path("/mine")) == os.pathsep.join(["/mine", "/there"])
    monkeypatch.delenv("SOME_PATH")
    assert with_path("SOME_PATH", Path("/mine")) == "/mine"


def test_the_baseline_keeps_to_what_the_session_allows() -> None:
    rank = Knob("rank", "choice", ("--network_dim",), choices=(4, 8))
    job = job_with((rank,), {})
    assert config_of(job, None) == {"rank": 4}
    assert config_of(replace(job, knobs=(replace(rank, choices=(8, 16)),)), None) == {"rank": 8}
