"""sd-scripts' adapter and presets, held to the recorded parsers of its scripts."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.domain import Config, DatasetSplit, Knob, Picture, Prompt, Round, Source, Trial
from bracket.files import write_json
from bracket.homes import UPSTREAMS, Home
from bracket.presets import Preset, VramProfile, list_presets
from bracket.search.space import effective, random_config
from bracket.trainers import Job, SdScriptsTrainer, make_trainer
from bracket.trainers.base import settings_of
from bracket.weights.kinds import KINDS
from tests.trainers.presets_contract import check_argv, recorded
from tests.trainers.upstreams import fake_venv

PRESETS = {p.name: p for p in list_presets() if p.trainer == "sd_scripts"}
PROMPTS = (Prompt("a zorp", 3), Prompt('two "zorps" --n no --d 9', 4, negative="blurry"))
CORE = dict.fromkeys((*UPSTREAMS["sd_scripts"].core, "bitsandbytes"), "1.0") | {"torch": "2.6.0"}
MODELS = {
    "sdxl-lora", "sdxl-full", "sd15-lora", "sd35-medium-lora", "sd35-large-lora", "flux1-dev-lora", "lumina2-lora",
    "hunyuan-image-21-lora", "anima-lora",
}  # fmt: skip
MOST_SWAPPED = {"flux1-dev-lora": 35, "sd35-large-lora": 36, "hunyuan-image-21-lora": 37}
NEEDED = {"--pretrained_model_name_or_path", "--dataset_config", "--output_dir", "--output_name", "--max_train_steps",
          "--seed", "--learning_rate", "--optimizer_type"}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetSplit:
    folder = tmp_path_factory.mktemp("data") / 'it\'s a "zörp"'
    folder.mkdir()
    pictures = []
    for n in range(6):
        Image.new("RGB", (64, 64), (n * 40, 0, 0)).save(folder / f"{n}.png")
        (folder / f"{n}.txt").write_text(f"zorp {n}")
        pictures.append(Picture(folder / f"{n}.png", f"zorp {n}", 64, 64))
    return DatasetSplit(folder, tuple(pictures[:4]), tuple(pictures[4:]), ("a zorp",), (), "zorp")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder that passes for sd-scripts and knows the flags it really knows, with everything installed."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "library").mkdir()
    for parser in recorded("sd-scripts", "x").parent.glob("*.json"):
        options = json.loads(parser.read_text())["options"]
        (folder / f"{parser.stem}.py").write_text("\n".join(f'"{flag}"' for flag in options))
    return Home("sd_scripts", folder, fake_venv(folder / "venv", {**CORE, "prodigyopt": "1.0"}))


@pytest.fixture
def trainer(home: Home, monkeypatch: pytest.MonkeyPatch) -> SdScriptsTrainer:
    monkeypatch.setenv("BRACKET_SD_SCRIPTS", str(home.folder))
    monkeypatch.setenv("BRACKET_SD_SCRIPTS_PYTHON", str(home.python))
    made = make_trainer("sd_scripts")
    assert isinstance(made, SdScriptsTrainer)
    return made


def make_job(preset: Preset, dataset: DatasetSplit, folder: Path, profile: VramProfile | None = None) -> Job:
    choices = profile.choices if profile else {}
    knobs = tuple(replace(k, choices=tuple(choices.get(k.name, k.choices))) for k in preset.knob_list())
    fixed = {**preset.fixed, **(profile.settings if profile else {})}
    weights = {w.key: f"/models/{w.key}.safetensors" for w in preset.weights}
    return Job(folder, preset, dataset, weights, fixed, knobs, preset.sample, PROMPTS, "cuda:0")


def make_trial(job: Job, config: Config, name: str = "search-000", steps: int = 120) -> Trial:
    return Trial(name, Round.SEARCH, "random", config, 7, steps, job.folder / "trials" / name)


def words_of(argv: tuple[str, ...] | list[str]) -> dict[str, list[str]]:
    """Flags with their words."""
    found: dict[str, list[str]] = {}
    last = ""
    for word in argv:
        if word.startswith("--"):
            last, equals, value = word.partition("=")
            found[last] = [value] if equals else []
        elif last:
            found[last].append(word)
    return found


def of(name: str) -> Preset:
    return PRESETS[f"sd-scripts-{name}"]


def without(job: Job, *names: str) -> Job:
    return replace(job, knobs=tuple(k for k in job.knobs if k.name not in names))


def profiles(preset: Preset) -> list[VramProfile | None]:
    return [None, *preset.vram]


def test_there_is_a_preset_for_every_model() -> None:
    assert {name.removeprefix("sd-scripts-") for name in PRESETS} == MODELS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_a_person_needs(name: str) -> None:
    preset = PRESETS[name]
    assert preset.about and preset.vram and 4 <= len(preset.curated) <= 6 and preset.sample
    assert all(k.why for k in preset.knobs.values()) and 6 <= len(preset.knobs) <= 10
    for weight in preset.weights:
        assert weight.size_gb and weight.source and weight.env.startswith("BRACKET_") and set(weight.is_a) <= KINDS
    assert all(p.about for p in preset.vram)
    assert any(c.get("optimizer") == "prodigy" for c in preset.curated) or preset.trains
    # A baseline that conditions would change could not draw: the adapter takes it as it stands.
    kept = effective(preset.baseline, preset.knob_list())
    assert kept == {k: v for k, v in preset.baseline.items() if k in kept}
    for config in preset.curated_configs():
        assert {k: v for k, v in config.items() if k in effective(config, preset.knob_list())}


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_written_down_becomes_a_command_the_script_takes(
    name: str, trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    for profile in profiles(PRESETS[name]):
        job = make_job(PRESETS[name], dataset, tmp_path / "session", profile)
        takes(trainer, job, [effective(c, job.knobs) for c in (job.preset.baseline, *job.preset.curated_configs())])


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_config_becomes_a_command_the_script_takes(
    name: str, trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    for profile in profiles(PRESETS[name]):
        job = make_job(PRESETS[name], dataset, tmp_path / "session", profile)
        takes(trainer, job, [random_config(job.knobs, rng) for _ in range(200 if profile is None else 25)])


def takes(trainer: SdScriptsTrainer, job: Job, configs: Sequence[Config]) -> None:
    assert job.preset.scripts
    parser = recorded("sd-scripts", job.preset.scripts.train.script)
    for config in configs:
        argv = trainer.launch(job, [make_trial(job, config)]).argv
        assert check_argv(argv, parser) == [], config
        holds(argv, config, job)


def holds(argv: tuple[str, ...], config: Config, job: Job) -> None:
    """The conditions between flags."""
    said = words_of(argv)
    assert said.keys() >= NEEDED
    if config["optimizer"] == "prodigy":
        assert float(said["--learning_rate"][0]) == 1 and float(said["--lr_warmup_steps"][0]) == 0
        assert "--text_encoder_lr" not in said
    if config["optimizer"] == "adafactor":
        assert {"relative_step=False", "scale_parameter=False", "warmup_init=False"} <= set(said["--optimizer_args"])
    if config["scheduler"] == "constant":
        assert float(said["--lr_warmup_steps"][0]) == 0
    if "alpha" in config:
        assert int(said["--network_alpha"][0]) <= max(1, 2 * int(said["--network_dim"][0]))
    if "--fused_backward_pass" in said:
        assert said["--optimizer_type"] == ["Adafactor"] and float(said["--max_grad_norm"][0]) == 0
    if "--full_bf16" in said:
        assert said["--mixed_precision"] == ["bf16"] and said["--optimizer_type"] == ["Adafactor"]
    if "--cache_text_encoder_outputs" in said:
        assert "--network_train_unet_only" in said or job.preset.trains
    if "--discrete_flow_shift" in said:
        assert said["--timestep_sampling"] in (["shift"], ["sigma"])  # of the schedule, too
    swapped = int(said.get("--blocks_to_swap", ["0"])[0])
    assert swapped <= MOST_SWAPPED.get(job.preset.name.removeprefix("sd-scripts-"), 0)
    assert "hunyuan" not in job.preset.name or "--fp8_base" not in said
    assert all(Path(value).is_absolute() for flag in ("--dataset_config", "--output_dir") for value in said[flag])


@pytest.mark.parametrize("name", PRESETS)
def test_every_knob_does_something(name: str, trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    preset = PRESETS[name]
    job = make_job(preset, dataset, tmp_path / "session")
    for knob in job.knobs:
        needed = {k: v[0] for k, v in knob.when.items()}
        if "scheduler" in preset.knobs and knob.name == "alpha":
            needed["rank"] = 64
        made = set()
        for value in knob.choices[:2] if knob.kind == "choice" else (knob.low, knob.high):
            config = effective({**preset.baseline, **needed, knob.name: value}, job.knobs)  # type: ignore[dict-item]
            argv = trainer.launch(job, [make_trial(job, config)]).argv
            toml = (job.folder / "trials/search-000/dataset.toml").read_text()
            made.add((argv, toml))
        assert len(made) == 2, knob.name


def test_the_dataset_file_is_in_the_trial_and_speaks_of_links(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sd15-lora"), dataset, tmp_path / "session")
    before = sorted(dataset.folder.iterdir())
    launch = trainer.launch(job, [make_trial(job, {**job.preset.baseline, "batch_size": 4})])
    said = words_of(launch.argv)
    toml = tomllib.loads(Path(said["--dataset_config"][0]).read_text("utf-8"))
    assert toml["general"]["batch_size"] == 4 and toml["general"]["resolution"] == 512
    train, held = toml["datasets"]
    links = Path(train["subsets"][0]["image_dir"])
    assert links.is_relative_to(tmp_path / "session" / "cache" / "data")
    assert sorted(p.name for p in links.glob("*.png")) == ["0.png", "1.png", "2.png", "3.png"]
    assert (held["validation_split"], held["batch_size"]) == (1.0, 1)
    assert sorted(p.name for p in Path(held["subsets"][0]["image_dir"]).glob("*.png")) == ["4.png", "5.png"]
    assert sorted(dataset.folder.iterdir()) == before
    # 4 pictures an epoch at most; nothing was asked for: measured once, at the end, where the picture is drawn, too
    assert said["--validate_every_n_steps"] == said["--sample_every_n_steps"] == ["120"]
    assert int(said["--validate_every_n_epochs"][0]) > 120 and said["--validation_seed"] == ["0"]


def test_the_validation_loss_never_mixes_two_of_the_first_epoch(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    repeated = replace(dataset, sources=(Source(dataset.folder, repeats=10),))  # 4 pictures × 10 = 40 steps at most
    for every, expected in ((50, "60"), (7, "40"), (0, "120")):
        job = replace(make_job(of("sd15-lora"), repeated, tmp_path / "session"), validate_every=every)
        said = words_of(trainer.launch(job, [make_trial(job, job.preset.baseline)]).argv)
        assert said["--validate_every_n_steps"] == [expected]


def test_a_validation_loss_that_means_something_else_in_every_trial_is_left_out(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sdxl-lora"), dataset, tmp_path / "session")
    said = words_of(trainer.launch(job, [make_trial(job, job.preset.baseline)]).argv)
    assert "--validate_every_n_steps" not in said
    assert len(tomllib.loads(Path(said["--dataset_config"][0]).read_text("utf-8"))["datasets"]) == 1
    (info,) = trainer.check(job)
    assert info.level == "info" and "min_snr_gamma, noise_offset" in str(info)
    held = without(job, "min_snr_gamma", "noise_offset")
    assert trainer.check(held) == []
    assert "--validation_seed" in words_of(trainer.launch(held, [make_trial(held, {"optimizer": "prodigy"})]).argv)
    one = replace(job.knobs[-2], low=0.05, high=0.05)
    assert one.name == "noise_offset"
    assert trainer.check(replace(held, knobs=(*held.knobs, one))) == []
    full = make_job(of("sdxl-full"), dataset, tmp_path / "full")
    assert trainer.check(full) == []
    assert "--validation_seed" not in words_of(trainer.launch(full, [make_trial(full, full.preset.baseline)]).argv)


def test_caches_are_made_once_for_the_same_pictures(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = without(make_job(of("sdxl-lora"), dataset, tmp_path / "session"), "min_snr_gamma", "noise_offset")
    (launch,) = trainer.prepare(job)
    said = words_of(launch.argv)
    assert check_argv(launch.argv, recorded("sd-scripts", "sdxl_train_network.py")) == []
    assert (said["--max_train_steps"], said["--network_dim"]) == (["0"], ["1"])
    assert "--sample_at_first" not in said and json.loads(Path(said["--sample_prompts"][0]).read_text()) == []
    trial = words_of(trainer.launch(job, [make_trial(job, job.preset.baseline)]).argv)
    subsets = [
        [
            d["subsets"][0]["image_dir"]
            for d in tomllib.loads(Path(w["--dataset_config"][0]).read_text("utf-8"))["datasets"]
        ]
        for w in (said, trial)
    ]
    assert subsets[0] == subsets[1] and len(subsets[0]) == 2  # held-out pictures are cached, too
    assert len(trainer.prepare(job)) == 1  # it has not run
    write_json(launch.log.with_suffix(".exit.json"), {"code": 1, "signal": None, "ended": 0})
    assert len(trainer.prepare(job)) == 1
    write_json(launch.log.with_suffix(".exit.json"), {"code": 0, "signal": None, "ended": 0})
    assert trainer.prepare(job) == []
    worded = replace(dataset.train[0], caption="another")
    assert len(trainer.prepare(replace(job, dataset=replace(dataset, train=(worded, *dataset.train[1:]))))) == 1


def test_caches_of_what_changed_are_not_taken_for_valid(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(dataset.folder, mine)
    pictures = tuple(replace(p, path=mine / p.path.name) for p in dataset.train)
    job = make_job(of("sdxl-lora"), replace(dataset, folder=mine, train=pictures), tmp_path / "session")

    def links() -> Path:
        said = words_of(trainer.launch(job, [make_trial(job, job.preset.baseline)]).argv)
        toml = tomllib.loads(Path(said["--dataset_config"][0]).read_text("utf-8"))
        return Path(toml["datasets"][0]["subsets"][0]["image_dir"])

    for name in ("0_0064x0064_sdxl.npz", "0_te_outputs.npz", "1_0064x0064_sdxl.npz"):
        (links() / name).write_bytes(b"x")
    Image.new("RGB", (64, 64), (0, 200, 0)).save(mine / "0.png", optimize=True)
    assert sorted(p.name for p in links().glob("*.npz")) == ["1_0064x0064_sdxl.npz"]


def test_caches_that_a_stop_tore_are_made_again(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sdxl-lora"), dataset, tmp_path / "session")
    trainer.prepare(job)
    (links,) = {p.parent for p in (tmp_path / "session" / "cache" / "data").rglob("0.txt")}
    np.savez(links / "0_0064x0064_sdxl.npz", latents=np.zeros(100))
    (links / "1_0064x0064_sdxl.npz").write_bytes((links / "0_0064x0064_sdxl.npz").read_bytes()[:500])
    trainer.prepare(job)
    assert [p.name for p in links.glob("*.npz")] == ["0_0064x0064_sdxl.npz"]


def test_each_resolution_and_model_has_caches_of_its_own(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sdxl-lora"), dataset, tmp_path / "session")
    size = Knob("resolution", "choice", ("dataset.resolution",), choices=(768, 1024))
    preset = job.preset.model_copy(update={"baseline": {**job.preset.baseline, "resolution": 768}})
    both = trainer.prepare(replace(job, preset=preset, knobs=(*job.knobs, size)))
    model = tmp_path / "other.safetensors"
    model.write_bytes(b"x")
    (other,) = trainer.prepare(replace(job, weights={"model": str(model)}))
    model.write_bytes(b"xy")
    (changed,) = trainer.prepare(replace(job, weights={"model": str(model)}))
    folders = {words_of(launch.argv)["--output_dir"][0] for launch in (*both, other, changed)}
    assert len(both) == 2 and len(folders) == 4


def test_pictures_are_drawn_before_a_training_that_is_none(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sdxl-lora"), dataset, tmp_path / "session")
    job = replace(job, fixed={**job.fixed, "--network_dropout": 0.1, "--network_args:rank_dropout": 0.1})
    config = effective({**job.preset.baseline, "rank": 32, "conv_rank": 16}, job.knobs)
    trial = make_trial(job, config)
    trainer.launch(job, [trial])
    checkpoint = trial.folder / "checkpoints" / f"{trial.id}.safetensors"
    out = tmp_path / "confirm" / "winner"
    said = words_of(trainer.draw(job, checkpoint, PROMPTS, out).argv)
    assert said["--network_weights"] == [str(checkpoint)] and said["--network_dim"] == ["32"]
    assert said["--network_args"] == ["conv_dim=16", "conv_alpha=8"] and "--network_dropout" not in said
    assert said["--max_train_steps"] == ["0"] and "--sample_at_first" in said
    assert said["--output_dir"] == [str(out / "checkpoints")]
    (dataset_,) = tomllib.loads(Path(said["--dataset_config"][0]).read_text("utf-8"))["datasets"]
    folder = Path(dataset_["subsets"][0]["image_dir"])
    assert folder.is_relative_to(out) and len(list(folder.glob("*.png"))) == 1
    prompts = json.loads(Path(said["--sample_prompts"][0]).read_text("utf-8"))
    drawn = {"width": 1024, "height": 1024, "sample_steps": 28, "scale": 7.0, "sample_sampler": "euler_a"}
    assert prompts == [
        {"prompt": "a zorp", "seed": 3, **drawn, "negative_prompt": ""},
        {"prompt": 'two "zorps" --n no --d 9', "seed": 4, **drawn, "negative_prompt": "blurry"},
    ]
    own = replace(job, dataset=replace(dataset, drawn={"a zorp": {"w": "512", "l": "5", "n": "bad", "f": "9"}}))
    argv = words_of(trainer.draw(own, checkpoint, PROMPTS, tmp_path / "own").argv)
    prompts = json.loads(Path(argv["--sample_prompts"][0]).read_text("utf-8"))
    assert prompts[0] == {
        "prompt": "a zorp", "seed": 3, **drawn, "width": 512, "scale": 5.0, "negative_prompt": "bad"
    }  # fmt: skip
    bare = words_of(trainer.draw(job, None, PROMPTS, tmp_path / "before").argv)
    assert "--network_weights" not in bare and bare["--network_dim"] == ["32"]


def test_a_full_checkpoint_stands_in_for_the_model(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sdxl-full"), dataset, tmp_path / "session", of("sdxl-full").vram[0])
    trial = make_trial(job, effective(job.preset.baseline, job.knobs))
    trainer.launch(job, [trial])
    checkpoint = trial.folder / "checkpoints" / f"{trial.id}.safetensors"
    launches = (*trainer.prepare(job), trainer.draw(job, checkpoint, PROMPTS, tmp_path / "winner"))
    for launch in launches:
        assert Path(launch.argv[1]).name == "sdxl_train_network.py"
        assert check_argv(launch.argv, recorded("sd-scripts", "sdxl_train_network.py")) == []
    said = words_of(launches[-1].argv)
    assert said["--pretrained_model_name_or_path"] == [str(checkpoint)] and "--network_weights" not in said
    assert not {"--full_bf16", "--fused_backward_pass", "--optimizer_type"} & said.keys()


def test_an_optimiser_that_was_ruled_out_is_not_needed_for_caches_and_pictures(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sdxl-lora"), dataset, tmp_path / "session")
    optimizer = replace(job.knobs[0], choices=("prodigy",))
    job = replace(
        job, knobs=(optimizer, *job.knobs[1:]), extra_args=("--optimizer_args", "a=1", "b=2", "--clip_skip", "2")
    )
    (cached,) = trainer.prepare(job)
    for launch in (cached, trainer.draw(job, None, PROMPTS, tmp_path / "before")):
        assert not [word for word in launch.argv if word.startswith(("--optimizer", "--learning_rate", "--lr_"))]
        assert launch.argv[-2:] == ("--clip_skip", "2")


@pytest.mark.parametrize("name", PRESETS)
def test_caching_and_drawing_are_commands_the_scripts_take(
    name: str, trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    for profile in profiles(PRESETS[name]):
        job = make_job(PRESETS[name], dataset, tmp_path / f"session {profile and profile.gb}", profile)
        launches = (*trainer.prepare(job), trainer.draw(job, None, PROMPTS, tmp_path / "before"))
        assert len(launches) == 2
        for launch in launches:
            assert check_argv(launch.argv, recorded("sd-scripts", Path(launch.argv[1]).name)) == []


def test_a_whole_job_has_no_problems(trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    for preset in PRESETS.values():
        for profile in profiles(preset):
            problems = trainer.check(make_job(preset, dataset, tmp_path, profile))
            assert {p.level for p in problems} <= {"info"}, problems


def test_a_checkout_of_another_version_is_told(
    trainer: SdScriptsTrainer, home: Home, dataset: DatasetSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(home.folder, other, ignore=shutil.ignore_patterns("venv"))
    monkeypatch.setenv("BRACKET_SD_SCRIPTS", str(other))
    script = other / "anima_train_network.py"
    script.write_text(script.read_text().replace('"--timestep_sampling"', '"--timestep_sampler"'))
    job = make_job(of("anima-lora"), dataset, tmp_path / "session")
    found = next(p for p in trainer.check(job) if p.level == "error")
    assert found.message == (
        "this sd-scripts doesn't know --timestep_sampling in anima_train_network.py: it is of another version"
    )
    script.unlink()
    found = next(p for p in trainer.check(job) if p.level == "error")
    assert "has no anima_train_network.py" in found.message and "trainers update sd-scripts" in found.remedy


def test_an_optimiser_whose_package_is_missing_is_told(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRACKET_SD_SCRIPTS_PYTHON", str(fake_venv(tmp_path / "poor", CORE)))
    job = make_job(of("sd15-lora"), dataset, tmp_path / "session")
    (problem,) = [p for p in trainer.check(job) if p.level == "error"]
    assert problem.message == "optimizer prodigy needs prodigyopt, which is missing"
    assert problem.remedy.endswith("-m pip install prodigyopt`, or take it out of the search.")
    job = without(job, "optimizer")  # the search would decide that
    job = replace(job, fixed={**job.fixed, "--optimizer_type": "pytorch_optimizer.CAME"})
    assert "this preset needs pytorch-optimizer, which is missing" in [p.message for p in trainer.check(job)]


def test_what_caches_exclude_and_what_bracket_sets_is_told(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    shuffled = replace(
        dataset, options={"shuffle_caption": True}, sources=(Source(dataset.folder, options={"random_crop": True}),)
    )
    job = replace(make_job(of("flux1-dev-lora"), shuffled, tmp_path / "session"), extra_args=("--output_dir=/x",))
    errors = [p.message for p in trainer.check(job) if p.level == "error"]
    assert errors == [
        "--output_dir can't be added: bracket decides that",
        "shuffle_caption can't be had while --cache_text_encoder_outputs is set, as it is by this preset",
        "random_crop can't be had while --cache_latents is set, as it is by this preset",
    ]
    dropped = replace(dataset, options={"caption_dropout_rate": 0.1})
    assert not [p for p in trainer.check(make_job(of("anima-lora"), dropped, tmp_path)) if p.level == "error"]
    assert [p for p in trainer.check(make_job(of("sdxl-lora"), dropped, tmp_path)) if p.level == "error"]


def test_nothing_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dataset: DatasetSplit) -> None:
    monkeypatch.setenv("BRACKET_SD_SCRIPTS", "")
    monkeypatch.setenv("BRACKET_CONFIG", str(tmp_path))
    (problem,) = make_trainer("sd_scripts").check(make_job(of("sd15-lora"), dataset, tmp_path))
    assert problem.level == "error" and "trainers install sd-scripts" in problem.remedy


def test_an_experts_flags_come_last(trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    job = replace(make_job(of("sd15-lora"), dataset, tmp_path / "s"), extra_args=("--ip_noise_gamma", "0.1; rm -rf /"))
    argv = trainer.launch(job, [make_trial(job, job.preset.baseline)]).argv
    assert argv[-2:] == ("--ip_noise_gamma", "0.1; rm -rf /")
    assert settings_of(job, job.preset.baseline)["--optimizer_type"] == "AdamW8bit"


def test_an_experts_flags_hold_for_caches_and_pictures_too(
    trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("sdxl-full"), dataset, tmp_path / "session")
    more = replace(job, extra_args=("--block_lr", "1e-6,2e-6", "--max_token_length", "225"))
    (plain,), (longer,) = trainer.prepare(job), trainer.prepare(more)
    assert longer.argv[-2:] == ("--max_token_length", "225") and "--block_lr" not in longer.argv
    assert plain.log != longer.log
    assert trainer.draw(more, None, PROMPTS, tmp_path / "before").argv[-2:] == ("--max_token_length", "225")


def test_clips_are_told(trainer: SdScriptsTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    clips = replace(dataset, sources=(Source(dataset.folder, media="video"),))
    (told,) = trainer.check(make_job(of("sd15-lora"), clips, tmp_path))
    assert (told.level, told.message) == ("error", "sd-scripts can't train on clips")
