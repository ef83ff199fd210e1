"""Everything a session would send is held against the installed trainer, phase by phase."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bracket.domain import DatasetSplit, Picture, Problem, Prompt
from bracket.homes import ask_parsers, find_home
from bracket.presets import find_preset
from bracket.trainers import Job, bare_job, make_trainer
from tests.trainers.stand_ins.checkouts import make_checkout

PRESETS = {"sd_scripts": "sd-scripts-sdxl-lora", "musubi": "musubi-z-image-lora"}
TRAIN = {"sd_scripts": "sdxl_train_network.py", "musubi": "zimage_train_network.py"}
KEYS = {
    "image_dir", "image_directory", "cache_directory", "num_repeats", "caption_extension", "batch_size", "resolution",
    "enable_bucket", "max_bucket_reso", "bucket_no_upscale", "validation_split", "prompt", "seed", "width", "height",
    "sample_steps", "scale", "cfg_scale", "negative_prompt", "sample_sampler", "discrete_flow_shift",
}  # fmt: skip
INSTEAD = {"--validate_every_n_steps": "--weighting_scheme", "--max_grad_norm": "--sdpa"}
"""What musubi-tuner is sent in place of flags that it isn't."""


@pytest.fixture(scope="module", params=list(PRESETS))
def there(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Job, Path]]:
    """A job, and a checkout of its trainer that has all that it asks for."""
    name, folder = request.param, tmp_path_factory.mktemp("refused")
    pictures = []
    for n in range(4):
        Image.new("RGB", (64, 64), (n * 60, 0, 0)).save(folder / f"{n}.png")
        pictures.append(Picture(folder / f"{n}.png", f"zorp {n}", 64, 64))
    split = DatasetSplit(folder, tuple(pictures[:3]), tuple(pictures[3:]), ("a zorp",), (), "zorp")
    preset = find_preset(PRESETS[name])
    weights = {w.key: f"/models/{w.key}.safetensors" for w in preset.weights}
    # Validation is measured where no knob changes what it means.
    knobs = tuple(k for k in preset.knob_list() if k.name not in ("min_snr_gamma", "noise_offset"))
    job = replace(
        bare_job(preset), folder=folder / "session", dataset=split, weights=weights, fixed=preset.fixed, knobs=knobs
    )
    job = replace(job, prompts=(Prompt("a zorp", 3),))
    with pytest.MonkeyPatch.context() as patch:
        for key, value in make_checkout(name, folder / "its checkout").items():
            patch.setenv(key, value)
        patch.setenv("BRACKET_CONFIG", str(folder / "config"))
        library = find_home(name).folder / {"sd_scripts": "library", "musubi": "src/musubi_tuner"}[name]
        (library / "config_util.py").write_text("\n".join(f'"{key}"' for key in KEYS))
        yield job, library


@pytest.fixture(autouse=True)
def as_it_was(there: tuple[Job, Path]) -> Iterator[None]:
    """What a test changes in the checkout is put back."""
    job, library = there
    files = [find_home(job.preset.trainer).folder / TRAIN[job.preset.trainer], library / "config_util.py"]
    texts = [file.read_text("utf-8") for file in files]
    yield
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, "utf-8")


@contextmanager
def options_of(script: Path) -> Iterator[dict[str, dict[str, object]]]:
    """A stand-in's options, to be changed."""
    before, text, after = script.read_text("utf-8").split("'''")
    options = json.loads(text)
    yield options
    script.write_text("'''".join([before, json.dumps(options), after]), "utf-8")


def errors(job: Job) -> list[str]:
    found: list[Problem] = make_trainer(job.preset.trainer).check(job)
    return [p.message for p in found if p.level == "error"]


def test_the_trainer_the_presets_are_for_lacks_nothing(there: tuple[Job, Path]) -> None:
    job, _ = there
    assert errors(job) == []
    assert not (job.folder / "trials").exists()  # nothing of the session is touched
    assert job.preset.scripts
    assert (
        ask_parsers(
            find_home(job.preset.trainer), [s.script for s in (*job.preset.scripts.cache, job.preset.scripts.train)]
        )
        == []
    )
    assert errors(job) == []


@pytest.mark.parametrize("asked", [False, True], ids=["read", "asked"])
@pytest.mark.parametrize(
    "flag", ["--network_dim", "--sample_at_first", "--log_with", "--validate_every_n_steps", "--max_grad_norm",
             "--gradient_checkpointing", "--seed", "--optimizer_args", "--lr_warmup_steps"],
)  # fmt: skip
def test_any_flag_that_is_gone_is_named(there: tuple[Job, Path], flag: str, asked: bool) -> None:
    job, _ = there
    home, name = find_home(job.preset.trainer), TRAIN[job.preset.trainer]
    flag = INSTEAD.get(flag, flag) if job.preset.trainer == "musubi" else flag
    with options_of(home.folder / name) as options:
        del options[flag]
    if asked:
        assert ask_parsers(home, [name]) == []
    (said,) = errors(job)
    assert flag in said and name in said and "another version" in said


def test_a_choice_that_is_gone_is_named(there: tuple[Job, Path]) -> None:
    job, _ = there
    home, name = find_home(job.preset.trainer), TRAIN[job.preset.trainer]
    with options_of(home.folder / name) as options:
        options["--log_with"]["choices"] = ["wandb"]
    assert ask_parsers(home, [name]) == []
    (said,) = errors(job)
    assert "refuses --log_with: invalid choice: 'tensorboard'" in said


@pytest.mark.parametrize(("key", "where"), [("batch_size", "dataset files"), ("sample_steps", "prompts")])
def test_keys_of_dataset_and_prompt_files_are_held_too(there: tuple[Job, Path], key: str, where: str) -> None:
    job, library = there
    file = library / "config_util.py"
    file.write_text(file.read_text("utf-8").replace(f'"{key}"', '"other"'), "utf-8")
    assert any(f"{key} in {where}" in said for said in errors(job))


def test_an_experts_word_is_held_too(there: tuple[Job, Path]) -> None:
    job, _ = there
    (said,) = errors(replace(job, extra_args=("--no_such_flag", "1")))
    assert "--no_such_flag" in said
