"""AI-Toolkit's adapter: configs, checks, and how trials stop, go on and are drawn from again."""

from __future__ import annotations

import json
import re
import sqlite3
import struct
import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bracket.dataset import scan, split
from bracket.domain import Launch, Prompt, Round, Trial
from bracket.errors import TrainerError
from bracket.presets import find_preset
from bracket.trainers import Job, make_trainer
from bracket.trainers.ai_toolkit.adapter import AiToolkitTrainer
from bracket.trainers.ai_toolkit.config import beside, drawable
from tests.trainers.upstreams import commit, fake_venv, git, lookalike

PROMPTS = (Prompt("a zorp costs ${HOME} [name] -- today", 7), Prompt("a red zorp", 8, "blurry"))
ARCHS = {f"extensions_built_in/models/{n}.py": f'class M:\n    arch = "{n}"\n' for n in ("zimage", "wan22_14b")}


@pytest.fixture
def trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AiToolkitTrainer:
    lookalike(tmp_path / "aitk", "ai_toolkit")
    commit(tmp_path / "aitk", ARCHS)
    from bracket.homes import UPSTREAMS

    python = fake_venv(
        tmp_path / "venv", dict.fromkeys((*UPSTREAMS["ai_toolkit"].core, "part"), "1.0") | {"torch": "2"}
    )
    monkeypatch.setenv("BRACKET_AI_TOOLKIT", str(tmp_path / "aitk"))
    monkeypatch.setenv("BRACKET_AI_TOOLKIT_PYTHON", str(python))
    made = make_trainer("ai_toolkit")
    assert isinstance(made, AiToolkitTrainer)
    return made


@pytest.fixture
def job(tmp_path: Path) -> Job:
    data = tmp_path / "data"
    (data / "validation").mkdir(parents=True)
    for n in range(8):
        place = data / "validation" if n > 5 else data
        Image.new("RGB", (64, 64), (30 * n, 0, 0)).save(place / f"{n}.png")
        (place / f"{n}.txt").write_text(f"zorp {n} for ${{MONEY}} [name]")
    preset = find_preset("ai-toolkit-z-image-lora")
    return Job(
        folder=tmp_path / "a session",
        preset=preset,
        dataset=split(scan(data), 1, validation=2, prompts=2, verdict=2, trigger_word="zorp"),
        weights=preset.resolve_weights({}),
        fixed=preset.fixed,
        knobs=preset.knob_list(),
        sample=preset.sample,
        prompts=PROMPTS,
        device="cuda:0",
    )


def trial(job: Job, name: str = "search-001", steps: int = 100, **more: Any) -> Trial:
    return Trial(name, Round.SEARCH, "x", dict(job.preset.baseline), 5, steps, job.folder / "trials" / name, **more)


def process(path: Path, environment: dict[str, str] | None = None) -> dict[str, Any]:
    """A config as AI-Toolkit reads it: `${NAME}` and `[name]` are replaced in its text."""
    text = re.sub(r"\$\{([^}]+)\}", lambda m: (environment or {})[m[1]], path.read_text("utf-8"))
    read = json.loads(json.dumps(json.loads(text)).replace("[name]", "[name]"))
    return dict(read["config"]["process"][0])


def safetensors(path: Path, step: int | None = None) -> None:
    """A whole file with one tensor of four bytes."""
    header: dict[str, Any] = {"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    if step is not None:
        header["__metadata__"] = {"training_info": json.dumps({"step": step, "epoch": 0})}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0\0\0\0")


def row(launch: Launch, folder: Path) -> sqlite3.Row:
    with closing(sqlite3.connect(folder / "control.db")) as control:
        control.row_factory = sqlite3.Row
        found = control.execute("SELECT * FROM Job").fetchone()
    assert found["id"] == launch.env["AITK_JOB_ID"]
    return found  # type: ignore[no-any-return]


def test_a_whole_trial_is_run_py_with_an_absolute_config(trainer: AiToolkitTrainer, job: Job, tmp_path: Path) -> None:
    made = trial(job)
    launch = trainer.launch(job, [made])
    config = made.folder / "config.json"
    assert launch.argv[1:] == ("run.py", str(config), "--name", "[name]") and config.is_absolute()
    assert (launch.cwd, launch.env["SEED"], launch.env["AITK_JOB_ID"]) == (tmp_path / "aitk", "5", "search-001")
    assert launch.traces[0].path == made.folder / "checkpoints" / "search-001" / "loss_log.db"
    assert row(launch, made.folder)["stop"] == 0

    said = process(config)
    assert said["type"] == "diffusion_trainer" and said["training_folder"] == str(made.folder / "checkpoints")
    assert said["sqlite_db_path"] == str(made.folder / "control.db") and said["training_seed"] == 5
    assert said["logging"] == {"log_every": 1, "use_ui_logger": True}
    assert (said["train"]["steps"], said["train"]["lr"], said["network"]["linear"]) == (100, 1e-4, 32)
    assert said["train"]["optimizer_params"] == {"weight_decay": 1e-4}
    assert said["model"]["name_or_path"] == "Tongyi-MAI/Z-Image" and said["model"]["arch"] == "zimage"
    assert "linear_alpha" not in said["network"]


def test_every_prompt_has_its_own_seed_and_no_text_is_replaced(trainer: AiToolkitTrainer, job: Job) -> None:
    made = trial(job)
    trainer.launch(job, [made])
    said = process(made.folder / "config.json")
    shared = {"width": 1024, "height": 1024, "sample_steps": 30, "guidance_scale": 4.0}
    assert said["sample"]["samples"] == [
        {"prompt": "a zorp costs ${HOME} [name] – today", "seed": 7, **shared, "neg": ""},
        {"prompt": "a red zorp", "seed": 8, **shared, "neg": "blurry"},
    ]
    assert said["sample"]["walk_seed"] is False and said["train"]["skip_first_sample"] is True
    captions = [i["prompt"] for i in said["train"]["validation_config"]["validation_items"]]
    assert captions == [p.caption for p in job.dataset.validation] and all("${MONEY} [name]" in c for c in captions)


@pytest.mark.parametrize("steps", [2, 3, 7, 100, 101, 400])
def test_the_last_step_is_validated_and_nothing_falls_on_the_one_after(
    trainer: AiToolkitTrainer, job: Job, steps: int
) -> None:
    made = trial(job, steps=steps, schedule=1000)
    trainer.launch(replace(job, sample_every=10, validate_every=20), [made])
    said = process(made.folder / "config.json")
    assert said["train"]["steps"] == 1000
    assert (steps - 1) % said["train"]["validation_config"]["validate_every_n_steps"] == 0
    assert steps % said["save"]["save_every"] and steps % said["sample"]["sample_every"]


def test_an_interval_beside_a_step() -> None:
    assert (beside(25, 100), beside(26, 100), beside(0, 0), beside(1, 1)) == (26, 26, 1, 2)


@pytest.mark.parametrize(("text", "drawn"), [("a - b", "a - b"), ("a -- b --w 64", "a – b –w 64"), ("---", "–-")])
def test_no_prompt_holds_an_option(text: str, drawn: str) -> None:
    assert drawable(text) == drawn


def test_a_rung_goes_through_the_launcher(trainer: AiToolkitTrainer, job: Job) -> None:
    made = trial(job, steps=30, schedule=100)
    launch = trainer.launch(job, [made])
    place = made.folder / "checkpoints" / "search-001"
    assert launch.argv[1] == "-I" and launch.argv[2].endswith("ai_toolkit/run.py")
    split_at = launch.argv.index("--")
    assert launch.argv[3:split_at] == (
        *("--db", str(made.folder / "control.db"), "--saved", str(place / "search-001_000000030")),
        *("--forget", str(place / "loss_log.db"), "30"),
    )
    assert launch.argv[split_at + 2 :] == ("run.py", str(made.folder / "config.json"), "--name", "[name]")
    assert launch.expected_steps == 30 and row(launch, made.folder)["reached"] == 0


def test_a_rung_whose_pictures_are_missing_only_draws(trainer: AiToolkitTrainer, job: Job) -> None:
    made = trial(job, steps=30, schedule=100)
    safetensors(made.folder / "checkpoints" / "search-001" / "search-001_000000030.safetensors", 30)
    launch = trainer.launch(job, [made])
    assert process(made.folder / "config.json")["train"]["force_first_sample"] is True
    assert row(launch, made.folder)["reached"] == 1


def test_a_longer_trial_goes_on_from_copies_under_its_own_name(trainer: AiToolkitTrainer, job: Job) -> None:
    first = trial(job, steps=30, schedule=100)
    trainer.launch(job, [first])
    place = first.folder / "checkpoints" / "search-001"
    safetensors(place / "search-001_000000030.safetensors", 30)
    (place / "optimizer.pt").write_bytes(b"moments")
    with closing(sqlite3.connect(place / "loss_log.db")) as log, log:
        log.execute("CREATE TABLE steps (step INTEGER)")
        log.execute("INSERT INTO steps VALUES (29)")

    second = trial(job, "finals-001", 100, continues=first.folder)
    trainer.launch(job, [second])
    copied = second.folder / "checkpoints" / "finals-001"
    assert sorted(p.name for p in copied.iterdir()) == [
        "finals-001_000000030.safetensors",
        "loss_log.db",
        "optimizer.pt",
    ]
    (copied / "optimizer.pt").write_bytes(b"later")
    assert (place / "optimizer.pt").read_bytes() == b"moments", "the first trial's state stays"
    with closing(sqlite3.connect(copied / "loss_log.db")) as log:
        assert log.execute("SELECT step FROM steps").fetchall() == [(29,)]

    (place / "search-001_000000030.safetensors").unlink()
    with pytest.raises(TrainerError, match="left no checkpoint"):
        trainer.launch(job, [trial(job, "finals-002", 100, continues=first.folder)])


def test_what_a_kill_cut_short_is_removed(trainer: AiToolkitTrainer, job: Job) -> None:
    made = trial(job)
    place = made.folder / "checkpoints" / "search-001"
    safetensors(place / "search-001_000000025.safetensors", 25)
    whole = (place / "search-001_000000025.safetensors").read_bytes()
    (place / "search-001_000000050.safetensors").write_bytes(whole[:-2])
    trainer.launch(job, [made])
    assert [p.name for p in place.iterdir()] == ["search-001_000000025.safetensors"]


def test_the_final_checkpoint_is_the_one_that_got_there(trainer: AiToolkitTrainer, job: Job) -> None:
    made, rung = trial(job), trial(job, "rung", 30, schedule=100)
    final = made.folder / "checkpoints" / "search-001" / "search-001.safetensors"
    assert trainer.find_checkpoint(made) is None
    safetensors(final, 60)
    assert trainer.find_checkpoint(made) is None, "an earlier training's"
    safetensors(final, 100)
    assert trainer.find_checkpoint(made) == final
    final.write_bytes(final.read_bytes()[:-1])
    assert trainer.find_checkpoint(made) is None, "cut short"
    at = rung.folder / "checkpoints" / "rung" / "rung_000000030.safetensors"
    safetensors(at.with_name("rung_000000025.safetensors"), 25)
    assert trainer.find_checkpoint(rung) is None
    safetensors(at, 30)
    assert trainer.find_checkpoint(rung) == at


def test_both_experts_must_be_there(trainer: AiToolkitTrainer, job: Job) -> None:
    preset = find_preset("ai-toolkit-wan22-14b-lora")
    wan = replace(job, preset=preset, fixed=preset.fixed, knobs=preset.knob_list(), sample=preset.sample)
    made = trial(wan)
    trainer.launch(wan, [made])
    place = made.folder / "checkpoints" / "search-001"
    safetensors(place / "search-001_low_noise.safetensors", 100)
    assert trainer.find_checkpoint(made) is None
    safetensors(place / "search-001_high_noise.safetensors", 100)
    assert trainer.find_checkpoint(made) == place / "search-001_high_noise.safetensors"

    alone = replace(trial(wan, "alone"), config={**wan.preset.baseline, "experts": "low_noise"})
    trainer.launch(wan, [alone])
    safetensors(alone.folder / "checkpoints" / "alone" / "alone_low_noise.safetensors", 100)
    assert trainer.find_checkpoint(alone)

    out = made.folder / "more"
    trainer.draw(wan, trainer.find_checkpoint(made), PROMPTS, out)
    names = sorted(p.name for p in (out / "checkpoints" / "drawn").iterdir())
    assert names == ["drawn_high_noise.safetensors", "drawn_low_noise.safetensors"]


def test_a_full_model_is_a_folder_with_its_metadata(trainer: AiToolkitTrainer, job: Job) -> None:
    made = trial(job)
    folder = made.folder / "checkpoints" / "search-001" / "search-001"
    safetensors(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    assert trainer.find_checkpoint(made) is None, "the metadata are written last"
    (folder / "aitk_meta.yaml").write_text("training_info: {step: 100, epoch: 3}\n")
    assert trainer.find_checkpoint(made) == folder


def test_more_pictures_come_from_a_run_of_no_steps(trainer: AiToolkitTrainer, job: Job) -> None:
    made = replace(trial(job), config={**job.preset.baseline, "rank": 8, "scheduler": "cosine"})
    trainer.launch(job, [made])
    final = made.folder / "checkpoints" / "search-001" / "search-001.safetensors"
    safetensors(final, 100)
    out = job.folder / "confirm" / "winner"
    launch = trainer.draw(job, final, [Prompt("a green zorp", 99)], out)
    said = process(out / "config.json")
    assert said["network"]["linear"] == 8, "the settings it was trained with"
    assert said["train"]["steps"] == 0 and said["train"]["force_first_sample"] is True
    assert "lr_scheduler" not in said["train"] and "validation_config" not in said["train"]
    assert [s["seed"] for s in said["sample"]["samples"]] == [99]
    assert (out / "checkpoints" / "drawn" / "drawn.safetensors").read_bytes() == final.read_bytes()
    assert row(launch, out)["reached"] == 1 and "--saved" not in launch.argv

    picture = out / "checkpoints" / "drawn" / "samples" / "1700000000000__000000100_0.png"
    picture.parent.mkdir()
    Image.new("RGB", (8, 8)).save(picture)
    (sample,) = trainer.find_drawn(out)
    assert (sample.path, sample.prompt, sample.seed) == (picture, "a green zorp", 99)

    bare = trainer.draw(job, None, PROMPTS, job.folder / "before")
    assert not (job.folder / "before" / "checkpoints" / "drawn").exists() and bare.argv != launch.argv


def test_the_cache_is_made_once_and_again_when_a_picture_changes(trainer: AiToolkitTrainer, job: Job) -> None:
    (launch,) = trainer.prepare(job)
    config = Path(launch.argv[launch.argv.index("run.py") + 1])
    said = process(config)
    assert said["train"]["disable_sampling"] is True and "validation_config" not in said["train"]
    assert said["datasets"][0]["cache_latents_to_disk"] and said["train"]["cache_text_embeddings"]
    assert len(trainer.prepare(job)) == 1, "it did not run yet"
    launch.log.with_suffix(".exit.json").write_text('{"code": 0}')
    assert trainer.prepare(job) == []
    Image.new("RGB", (64, 64), (9, 9, 9)).save(job.dataset.train[0].path)
    assert len(trainer.prepare(job)) == 1


def test_what_the_dataset_says_wins_over_the_preset_and_a_knob_over_both(trainer: AiToolkitTrainer, job: Job) -> None:
    options = {"batch_size": 3, "resolution": [640, 640], "caption_dropout_rate": 0.3}
    dataset = replace(job.dataset, options=options)
    made = trial(job)
    trainer.launch(replace(job, dataset=dataset), [made])
    said = process(made.folder / "config.json")
    assert said["train"]["batch_size"] == 1 and said["datasets"][0]["caption_dropout_rate"] == 0.05
    assert said["datasets"][0]["resolution"] == 640
    fewer = tuple(k for k in job.knobs if k.name not in ("batch_size", "caption_dropout"))
    trainer.launch(replace(job, dataset=dataset, knobs=fewer), [made])
    said = process(made.folder / "config.json")
    assert said["train"]["batch_size"] == 3 and said["datasets"][0]["caption_dropout_rate"] == 0.3


def test_an_expert_adds_settings_and_nothing_else(trainer: AiToolkitTrainer, job: Job) -> None:
    words = ("train.max_grad_norm=0.5", "train.loss_type=mae", 'network.network_kwargs.full_if_contains=["norm"]')
    made = trial(job)
    trainer.launch(replace(job, extra_args=words), [made])
    said = process(made.folder / "config.json")
    assert (said["train"]["max_grad_norm"], said["train"]["loss_type"]) == (0.5, "mae")
    assert said["network"]["network_kwargs"]["full_if_contains"] == ["norm"]
    bad = ("--recover", "train.stepps=4", "train.steps=4", "train.unet_lr=1", "network.linear_alpha=8", "loss", "x=1")
    refused = [p.message for p in trainer.check(replace(job, extra_args=bad)) if p.level == "error"]
    assert refused == [
        "AI-Toolkit has no setting train.stepps, and would ignore it",
        "train.steps is set by bracket itself",
        "train.unet_lr does nothing in AI-Toolkit: train.lr is used in its place",
        "network.linear_alpha does nothing for zimage: AI-Toolkit takes the rank as alpha",
        "AI-Toolkit has no setting x, and would ignore it",
        "'--recover' is no setting: AI-Toolkit has a config and no flags",
        "'loss' is no setting: AI-Toolkit has a config and no flags",
    ]


def test_an_edit_is_drawn_from_a_picture_before(trainer: AiToolkitTrainer, job: Job) -> None:
    preset = find_preset("ai-toolkit-qwen-image-edit-lora")
    pictures = [replace(p, controls=(p.path.with_name(f"before-{p.path.name}"),)) for p in job.dataset.validation]
    for picture in pictures:
        Image.new("RGB", (64, 64)).save(picture.controls[0])
    trained = [replace(p, controls=(p.path,)) for p in job.dataset.train]
    dataset = replace(job.dataset, validation=tuple(pictures), train=tuple(trained))
    edit = replace(
        job, preset=preset, fixed=preset.fixed, knobs=preset.knob_list(), sample=preset.sample, dataset=dataset
    )
    prompts = (Prompt(pictures[0].caption, 3),)
    made = trial(edit)
    trainer.launch(replace(edit, prompts=prompts), [made])
    said = process(made.folder / "config.json")
    assert said["sample"]["samples"][0]["ctrl_img"] == str(pictures[0].controls[0])
    assert said["datasets"][0]["control_path"].endswith("-control") and "validation_config" not in said["train"]
    without = replace(edit, dataset=job.dataset)
    assert any("no picture has a control picture" in p.message for p in trainer.check(without))

    trainer.launch(replace(job, dataset=dataset), [made])
    assert "control_path" not in process(made.folder / "config.json")["datasets"][0], "a model that learns no edits"


def test_a_checkout_without_the_model_or_a_setting_is_found_out(
    trainer: AiToolkitTrainer, job: Job, tmp_path: Path
) -> None:
    assert [p.message for p in trainer.check(job) if p.level == "error"] == []
    (dashed,) = (p for p in trainer.check(job) if p.level == "warning")
    assert "takes what follows -- in a prompt for an option" in dashed.message
    klein = replace(job, fixed={**job.fixed, "model.arch": "zimagee"})
    (problem,) = (p for p in trainer.check(klein) if p.level == "error")
    assert problem.message == "this AI-Toolkit knows no model 'zimagee', and would take it for SD 1.5"
    old = tmp_path / "old"
    lookalike(old, "ai_toolkit")
    classes = "class TrainConfig:\n    def __init__(self, **kwargs):\n        self.lr = kwargs.get('lr', 1)\n"
    commit(old, {**ARCHS, "toolkit/config_modules.py": classes})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRACKET_AI_TOOLKIT", str(old))
        (problem,) = (p for p in trainer.check(job) if "another version" in p.message)
    assert "train.optimizer" in problem.message and "train.lr," not in problem.message
    # What bracket writes by itself, and what only a knob or another memory profile would.
    for key in ("train.validation_config", "train.force_first_sample", "train.lr_scheduler_params.start_factor"):
        assert (f"{key}," in problem.message) is (key.count(".") == 1), key
    assert f"this AI-Toolkit ({git(old, 'rev-parse', 'HEAD')[:7]}) doesn't know" in problem.message


def test_captions_are_not_cached_where_it_could_not_draw(trainer: AiToolkitTrainer, job: Job) -> None:
    preset = find_preset("ai-toolkit-sd15-lora")
    words = ("train.cache_text_embeddings=true",)
    said = trainer.check(replace(job, preset=preset, fixed=preset.fixed, knobs=preset.knob_list(), extra_args=words))
    assert "AI-Toolkit can't draw with sd15 when train.cache_text_embeddings is on" in [p.message for p in said]


def test_a_folder_in_which_it_finds_no_checkpoint_is_refused(trainer: AiToolkitTrainer, job: Job) -> None:
    said = [p for p in trainer.check(replace(job, folder=job.folder / "try [2]")) if p.level == "error"]
    assert len(said) == 1 and said[0].path == job.folder / "try [2]"


def test_a_missing_home_is_one_sentence(job: Job, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("BRACKET_AI_TOOLKIT", raising=False)
    (problem,) = make_trainer("ai_toolkit").check(job)
    assert problem.level == "error" and "AI-Toolkit" in problem.message


def test_the_launcher_is_of_the_standard_library_alone(trainer: AiToolkitTrainer, job: Job) -> None:
    launch = trainer.launch(job, [trial(job, steps=3, schedule=9)])
    import sys

    run = subprocess.run([sys.executable, "-I", "-S", launch.argv[2], "--help"], capture_output=True, text=True)
    assert run.returncode == 0 and "--saved" in run.stdout
