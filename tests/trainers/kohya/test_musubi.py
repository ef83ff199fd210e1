"""musubi-tuner's adapter and presets, held to the recorded parsers of its scripts."""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.domain import Config, DatasetSplit, Knob, Launch, Picture, Prompt, Round, Source, Trial
from bracket.errors import DatasetError
from bracket.files import write_json
from bracket.homes import UPSTREAMS, Home
from bracket.presets import Preset, VramProfile, list_presets
from bracket.search.space import effective, random_config
from bracket.trainers import Job, MusubiTrainer, make_trainer
from bracket.trainers.kohya import clips
from bracket.weights.kinds import KINDS
from tests.trainers.presets_contract import check_argv, recorded
from tests.trainers.upstreams import fake_venv

PRESETS = {p.name: p for p in list_presets() if p.trainer == "musubi"}
PROMPTS = (Prompt("zorp 4", 3), Prompt('two "zorps" --n no --d 9', 4, negative="blurry"))
CORE = dict.fromkeys((*UPSTREAMS["musubi"].core, "bitsandbytes"), "1.0") | {"torch": "2.7.1"}
MODELS = {
    "z-image-lora", "z-image-turbo-lora", "z-image-full", "flux2-klein-4b-lora", "flux2-klein-4b-edit-lora",
    "flux2-klein-9b-lora", "flux2-klein-9b-edit-lora", "flux2-dev-lora", "qwen-image-lora", "qwen-image-full",
    "qwen-image-edit-2509-lora", "qwen-image-edit-2511-lora", "flux1-kontext-lora", "hidream-o1-lora",
    "hidream-o1-full", "krea2-lora", "ideogram4-lora", "wan21-t2v-1.3b-lora", "wan21-t2v-14b-lora",
    "wan21-i2v-14b-lora", "wan22-t2v-a14b-lora", "wan22-i2v-a14b-lora",
    "hunyuan-video-lora", "hunyuan-video-1.5-lora", "framepack-lora",
    "framepack-one-frame-lora", "kandinsky5-lite-t2v-lora", "kandinsky5-pro-t2v-lora",
}  # fmt: skip
MOST_SWAPPED = {
    "z-image": 28, "flux2-klein-4b": 13, "flux2-klein-9b": 16, "flux2-dev": 29, "qwen-image": 59, "flux1-kontext": 34,
    "hidream-o1": 35, "krea2": 26, "ideogram4": 33, "wan21-t2v-1.3b": 29, "wan21": 39, "wan22": 39,
    "hunyuan-video-1.5": 51, "hunyuan-video": 36, "framepack": 36, "kandinsky5-lite": 31, "kandinsky5-pro": 59,
}  # fmt: skip
NEEDED = {"--dit", "--dataset_config", "--output_dir", "--output_name", "--max_train_steps", "--seed", "--sdpa",
          "--learning_rate", "--optimizer_type", "--mixed_precision", "--weighting_scheme"}  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetSplit:
    """Seven pictures with controls: four to train on, two held out, one for the verdict, which no split names."""
    folder = tmp_path_factory.mktemp("data") / 'it\'s a "zörp"'
    controls = folder.with_name("controls")
    pictures = []
    for n in range(7):
        for place in (folder, controls):
            place.mkdir(exist_ok=True)
            Image.new("RGB", (64, 64), (n * 30, 0, 0)).save(place / f"{n}.png")
        (folder / f"{n}.txt").write_text(f"zorp {n}")
        pictures.append(Picture(folder / f"{n}.png", f"zorp {n}", 64, 64, 0, (controls / f"{n}.png",)))
    sources = (Source(folder, controls=(controls,)),)
    return DatasetSplit(
        folder, tuple(pictures[:4]), tuple(pictures[4:6]), ("zorp 4",), ("zorp 6",), "zorp", sources=sources
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder that passes for musubi-tuner and knows the flags it really knows, with everything installed."""
    folder = tmp_path_factory.mktemp("home")
    package = folder / "src" / "musubi_tuner"
    package.mkdir(parents=True)
    for parser in recorded("musubi-tuner", "x").parent.glob("*.json"):
        options = json.loads(parser.read_text())["options"]
        (folder / f"{parser.stem}.py").write_text("\n".join(f'"{flag}"' for flag in options))
    (package / "flux_2_train_network_self_flow.py").write_text("")
    return Home("musubi", folder, fake_venv(folder / "venv", {**CORE, "prodigyopt": "1.0"}))


@pytest.fixture
def trainer(home: Home, monkeypatch: pytest.MonkeyPatch) -> MusubiTrainer:
    monkeypatch.setenv("BRACKET_MUSUBI", str(home.folder))
    monkeypatch.setenv("BRACKET_MUSUBI_PYTHON", str(home.python))
    made = make_trainer("musubi")
    assert isinstance(made, MusubiTrainer)
    return made


def make_job(preset: Preset, dataset: DatasetSplit, folder: Path, profile: VramProfile | None = None) -> Job:
    choices = profile.choices if profile else {}
    knobs = tuple(replace(k, choices=tuple(choices.get(k.name, k.choices))) for k in preset.knob_list())
    fixed = {**preset.fixed, **(profile.settings if profile else {})}
    weights = {w.key: f"/models/{w.key}.safetensors" for w in preset.weights}
    return Job(folder, preset, dataset, weights, fixed, knobs, preset.sample, PROMPTS, "cuda:0")


def make_trial(job: Job, config: Config, name: str = "search-000", steps: int = 120) -> Trial:
    return Trial(name, Round.SEARCH, "random", config, 7, steps, job.folder / "trials" / name)


def words_of(launch: Launch) -> dict[str, list[str]]:
    """Flags of a command with their words."""
    found: dict[str, list[str]] = {}
    last = ""
    for word in launch.argv:
        if word.startswith("--"):
            last, equals, value = word.partition("=")
            found[last] = [value] if equals else []
        elif last:
            found[last].append(word)
    return found


def script_of(launch: Launch) -> str:
    wrapped = launch.argv[1:3] == (clips.__file__, "run")
    return Path(launch.argv[3 if wrapped else 1]).name


def of(name: str) -> Preset:
    return PRESETS[f"musubi-{name}"]


def toml_of(launch: Launch) -> dict[str, list[dict[str, object]]]:
    return tomllib.loads(Path(words_of(launch)["--dataset_config"][0]).read_text("utf-8"))


def prompts_of(launch: Launch) -> list[dict[str, object]]:
    return list(json.loads(Path(words_of(launch)["--sample_prompts"][0]).read_text("utf-8")))


def ran_well(launches: Sequence[Launch]) -> None:
    for launch in launches:
        write_json(launch.log.with_suffix(".exit.json"), {"code": 0, "signal": None, "ended": 0})


def profiles(preset: Preset) -> list[VramProfile | None]:
    return [None, *preset.vram]


def test_there_is_a_preset_for_every_model() -> None:
    assert {name.removeprefix("musubi-") for name in PRESETS} == MODELS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_a_person_needs(name: str) -> None:
    preset = PRESETS[name]
    assert "alone" in preset.about and preset.vram and 4 <= len(preset.curated) <= 6 and preset.sample
    assert all(k.why for k in preset.knobs.values()) and 6 <= len(preset.knobs) <= 10
    for weight in preset.weights:
        assert weight.size_gb and weight.source and weight.env.startswith("BRACKET_") and set(weight.is_a) <= KINDS
    assert all(len(k.choices) > 1 or k.low != k.high for k in preset.knobs.values())
    assert any(c.get("optimizer") == "prodigy" for c in preset.curated) or preset.trains
    for config in (preset.baseline, *preset.curated_configs()):
        assert effective(config, preset.knob_list()) == dict(config)


def test_one_file_has_one_variable() -> None:
    places: dict[str, set[tuple[str, ...]]] = {}
    for preset in PRESETS.values():
        for weight in preset.weights:
            places.setdefault(weight.env, set()).add((weight.label, str(weight.size_gb), *weight.is_a))
    assert {env: said for env, said in places.items() if len(said) > 1} == {}


@pytest.mark.parametrize("name", PRESETS)
def test_what_is_written_down_becomes_a_command_the_script_takes(
    name: str, trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    for profile in profiles(PRESETS[name]):
        job = make_job(PRESETS[name], dataset, tmp_path / "session", profile)
        takes(trainer, job, [effective(c, job.knobs) for c in (job.preset.baseline, *job.preset.curated_configs())])


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_config_becomes_a_command_the_script_takes(
    name: str, trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    rng = np.random.default_rng(5)
    for profile in profiles(PRESETS[name]):
        job = make_job(PRESETS[name], dataset, tmp_path / "session", profile)
        takes(trainer, job, [random_config(job.knobs, rng) for _ in range(200 if profile is None else 25)])


def takes(trainer: MusubiTrainer, job: Job, configs: Sequence[Config]) -> None:
    assert job.preset.scripts
    parser = recorded("musubi-tuner", job.preset.scripts.train.script)
    for config in configs:
        launch = trainer.launch(job, [make_trial(job, config)])
        assert check_argv(launch.argv, parser) == [], config
        holds(words_of(launch), config, job)


def holds(said: dict[str, list[str]], config: Config, job: Job) -> None:
    """The conditions between flags, and those that a model has."""
    name = job.preset.name.removeprefix("musubi-")
    assert said.keys() >= NEEDED
    (optimizer,) = said["--optimizer_type"]
    assert optimizer in ("adamw", "adamw8bit", "adafactor") or "." in optimizer  # another bare name is a class of torch
    if config.get("optimizer") == "prodigy":
        assert float(said["--learning_rate"][0]) == 1 and float(said["--lr_warmup_steps"][0]) == 0
        assert "--network_args" not in said  # groups of two learning rates
    if optimizer == "adafactor":
        assert {"relative_step=False", "scale_parameter=False", "warmup_init=False"} <= set(said["--optimizer_args"])
    if config["scheduler"] == "constant":
        assert float(said["--lr_warmup_steps"][0]) == 0
    if "alpha" in config:
        assert said["--network_module"] and int(said["--network_alpha"][0]) <= 2 * int(said["--network_dim"][0])
    if "--fused_backward_pass" in said:
        assert optimizer == "adafactor" and float(said["--max_grad_norm"][0]) == 0
    if "--full_bf16" in said:
        assert said["--mixed_precision"] == ["bf16"]
    assert said["--timestep_sampling"] == ["shift"] or float(said["--discrete_flow_shift"][0]) == 1
    fp8_together = name.startswith(("krea2", "hidream"))
    assert "--fp8_scaled" not in said or "--fp8_base" in said
    assert not fp8_together or ("--fp8_scaled" in said) == ("--fp8_base" in said)
    assert not job.preset.trains or "--fp8_base" not in said
    swapped = int(said.get("--blocks_to_swap", ["0"])[0])
    assert swapped <= next(most for model, most in MOST_SWAPPED.items() if name.startswith(model))
    assert not (swapped and "--offload_inactive_dit" in said)
    assert not (swapped and "--use_pinned_memory_for_block_swap" in said and job.preset.trains)
    assert "--sage_attn" not in said and "--dim_from_weights" not in said and "--save_precision" not in said


@pytest.mark.parametrize("name", PRESETS)
def test_every_knob_does_something(name: str, trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    preset = PRESETS[name]
    job = make_job(preset, dataset, tmp_path / "session")
    for knob in job.knobs:
        needed: dict[str, object] = {k: v[0] for k, v in knob.when.items()}
        if knob.name == "alpha":
            needed["rank"] = 64
        made = set()
        values = knob.choices if knob.kind == "choice" else (knob.low, knob.high)
        for value in values:
            config = effective({**preset.baseline, **needed, knob.name: value}, job.knobs)  # type: ignore[dict-item]
            launch = trainer.launch(job, [make_trial(job, config)])
            made.add((launch.argv, (job.folder / "trials/search-000/dataset.toml").read_text()))
        assert len(made) == len(values), knob.name


@pytest.mark.parametrize("name", PRESETS)
def test_caching_and_drawing_are_commands_the_scripts_take(
    name: str, trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    for profile in profiles(PRESETS[name]):
        job = make_job(PRESETS[name], dataset, tmp_path / f"session {profile and profile.gb}", profile)
        launches = (*trainer.prepare(job), trainer.draw(job, None, PROMPTS, tmp_path / "before"))
        assert len(launches) == 3
        for launch in launches:
            assert check_argv(launch.argv, recorded("musubi-tuner", script_of(launch))) == []
            assert not launch.trials and "--skip_existing" not in launch.argv and "--keep_cache" not in launch.argv
        for flag in ("--fp8_llm", "--fp8_vl", "--fp8_t5", "--fp8_text_encoder"):  # captions are encoded as prompts are
            assert (flag in launches[1].argv) == (flag in launches[2].argv)


def test_models_get_the_flags_that_were_wrong_elsewhere(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    def train(name: str) -> dict[str, list[str]]:
        job = make_job(of(name), dataset, tmp_path / name)
        return words_of(trainer.launch(job, [make_trial(job, job.preset.baseline)]))

    klein = train("flux2-klein-9b-lora")
    assert klein["--model_version"] == ["klein-base-9b"] and klein["--network_module"] == ["networks.lora_flux_2"]
    assert klein["--timestep_sampling"] == ["flux2_shift"]
    wan = train("wan22-t2v-a14b-lora")
    assert wan["--task"] == ["t2v-A14B"] and wan["--dit_high_noise"] == ["/models/dit_high_noise.safetensors"]
    assert wan["--mixed_precision"] == ["fp16"] and "--clip" not in wan
    image = train("wan21-i2v-14b-lora")
    assert image["--task"] == ["i2v-14B"] and image["--clip"] == ["/models/clip.safetensors"]
    for name in ("wan21-i2v-14b-lora", "wan22-i2v-a14b-lora"):
        latents = trainer.prepare(make_job(of(name), dataset, tmp_path / f"{name} caches"))[0]
        assert "--i2v" in latents.argv and "--task" not in latents.argv
    assert train("qwen-image-edit-2511-lora")["--model_version"] == ["edit-2511"]
    assert train("kandinsky5-lite-t2v-lora")["--text_encoder_clip"] == ["/models/clip.safetensors"]


def test_caches_are_made_once_and_shared_by_every_trial(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("z-image-lora"), dataset, tmp_path / "session")
    before = sorted(dataset.folder.iterdir())
    launches = trainer.prepare(job)
    assert [Path(launch.argv[1]).name for launch in launches] == [
        "zimage_cache_latents.py",
        "zimage_cache_text_encoder_outputs.py",
    ]
    (cached,) = toml_of(launches[0])["datasets"]
    folder = Path(str(cached["image_directory"]))
    assert folder.is_relative_to(tmp_path / "session" / "cache" / "data")
    assert sorted(p.name for p in folder.glob("*.png")) == ["0.png", "1.png", "2.png", "3.png"]
    assert Path(str(cached["cache_directory"])).is_relative_to(tmp_path / "session" / "cache" / "musubi")
    for batch_size in (1, 4):
        config = {**job.preset.baseline, "batch_size": batch_size}
        toml = toml_of(trainer.launch(job, [make_trial(job, config)]))
        assert toml["general"]["batch_size"] == batch_size  # type: ignore[call-overload]
        assert toml["datasets"] == [cached]
    assert sorted(dataset.folder.iterdir()) == before
    assert len(trainer.prepare(job)) == 2  # they have not run
    ran_well(launches)
    assert trainer.prepare(job) == []


def test_what_changed_is_cached_again(trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(dataset.folder, mine)
    pictures = tuple(Picture(mine / p.path.name, p.caption, 64, 64) for p in dataset.train)
    job = make_job(of("z-image-lora"), replace(dataset, folder=mine, train=pictures, sources=()), tmp_path / "session")

    def again(changed: Job) -> int:
        launches = trainer.prepare(changed)
        ran_well(launches)
        return len(launches)

    assert (again(job), again(job)) == (2, 0)
    Image.new("RGB", (64, 64), (0, 200, 0)).save(mine / "0.png", optimize=True)
    assert (again(job), again(job)) == (2, 0)
    fewer = replace(job, dataset=replace(job.dataset, train=pictures[1:]))
    assert again(fewer) == 2  # or what was cached of it would be trained on
    worded = replace(job, dataset=replace(job.dataset, train=(replace(pictures[0], caption="another"), *pictures[1:])))
    assert (again(worded), again(worded)) == (2, 0)
    (mine / "0.png").unlink()
    with pytest.raises(DatasetError, match="gone"):  # musubi-tuner would train on its cache
        trainer.launch(job, [make_trial(job, job.preset.baseline)])


def test_another_encoder_makes_caches_anew(trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    job = make_job(of("z-image-lora"), dataset, tmp_path / "session")
    job = replace(job, weights={**job.weights, "vae": str(tmp_path / "vae.safetensors")})
    (tmp_path / "vae.safetensors").write_bytes(b"one")
    ran_well(trainer.prepare(job))
    assert trainer.prepare(job) == []
    (tmp_path / "vae.safetensors").write_bytes(b"other")
    assert len(trainer.prepare(job)) == 2


def test_every_searched_resolution_is_cached_in_one_run(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    sized = replace(dataset, sources=(Source(dataset.folder, options={"resolution": [64, 64]}),))
    job = make_job(of("z-image-lora"), sized, tmp_path / "session")
    preset = job.preset.model_copy(update={"baseline": {**job.preset.baseline, "size": 768}})
    size = Knob("size", "choice", ("dataset.resolution",), choices=(768, 512))
    job = replace(job, preset=preset, knobs=(*job.knobs, size))
    cached = toml_of(trainer.prepare(job)[0])["datasets"]
    assert [d.get("resolution") for d in cached] == [None, 512]  # the search decides, not the file
    places = {d.get("resolution", 768): d["cache_directory"] for d in cached}
    assert len(set(places.values())) == 2
    for pixels in (768, 512):
        toml = toml_of(trainer.launch(job, [make_trial(job, {**job.preset.baseline, "size": pixels})]))
        assert toml["general"]["resolution"] == pixels  # type: ignore[call-overload]
        assert [d["cache_directory"] for d in toml["datasets"]] == [places[pixels]]

    plain = replace(job, dataset=replace(dataset, sources=()))
    means = {"large": {"dataset.resolution": 768}, "small": {"dataset.resolution": 512}}
    named = Knob("size", "choice", (), choices=("large", "small"), means=means)
    preset = preset.model_copy(update={"baseline": {**preset.baseline, "size": "large"}})
    plain = replace(plain, preset=preset, knobs=(*job.knobs[:-1], named))
    cached = toml_of(trainer.prepare(plain)[0])["datasets"]
    for place, choice in zip(cached, ("large", "small"), strict=True):
        toml = toml_of(trainer.launch(plain, [make_trial(plain, {**preset.baseline, "size": choice})]))
        assert [d["cache_directory"] for d in toml["datasets"]] == [place["cache_directory"]]


def test_prompts_speak_musubi(trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    job = make_job(of("z-image-lora"), dataset, tmp_path / "session")
    drawn = {"width": 1024, "height": 1024, "sample_steps": 28, "cfg_scale": 4.0, "discrete_flow_shift": 3.0}
    assert prompts_of(trainer.launch(job, [make_trial(job, job.preset.baseline)])) == [
        {"prompt": "zorp 4", "seed": 3, **drawn},
        {"prompt": 'two "zorps" --n no --d 9', "seed": 4, **drawn, "negative_prompt": "blurry"},
    ]
    own = replace(job, dataset=replace(dataset, drawn={"zorp 4": {"w": "512", "l": "5", "f": "9", "ss": "ddim"}}))
    first = prompts_of(trainer.draw(own, None, PROMPTS, tmp_path / "own"))[0]
    assert first == {"prompt": "zorp 4", "seed": 3, **drawn, "width": 512, "cfg_scale": 5.0, "frame_count": 9}
    job = make_job(of("flux2-klein-4b-lora"), dataset, tmp_path / "session")
    first = prompts_of(trainer.draw(job, None, PROMPTS, tmp_path / "before"))[0]
    assert first["guidance_scale"] == 4.0 and "cfg_scale" not in first and "control_image_path" not in first


def test_an_edit_is_drawn_from_the_controls_of_its_picture(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("qwen-image-edit-2511-lora"), dataset, tmp_path / "session")
    controls = dataset.sources[0].controls[0]
    texts = ("ZORP  4", "zorp 0", "zorp 6", "nothing like it")
    launch = trainer.draw(job, None, [Prompt(t, 1) for t in texts], tmp_path / "before")
    found = [p["control_image_path"] for p in prompts_of(launch)]
    assert found[:3] == [[str(controls / f"{n}.png")] for n in (4, 0, 6)]
    assert found[3] in ([str(controls / "4.png")], [str(controls / "5.png")])  # a held-out picture's
    again = trainer.draw(job, None, [Prompt("nothing like it", 1)], tmp_path / "again")
    assert [p["control_image_path"] for p in prompts_of(again)] == [found[3]]
    alike = replace(dataset, train=tuple(replace(p, caption="make it a zorp") for p in dataset.train))
    launch_ = trainer.draw(
        replace(job, dataset=alike), None, [Prompt("make it a zorp", n) for n in range(20)], tmp_path
    )
    assert len({str(p["control_image_path"]) for p in prompts_of(launch_)}) == 4  # another seed, another picture
    (trained,) = toml_of(launch)["datasets"]
    assert sorted(p.name for p in Path(str(trained["control_directory"])).glob("*.png")) == [
        f"{n}.png" for n in range(4)
    ]
    one_frame = make_job(of("framepack-one-frame-lora"), dataset, tmp_path / "framepack")
    (said,) = prompts_of(trainer.draw(one_frame, None, [Prompt("zorp 4", 1)], tmp_path / "one"))
    assert said["image_path"] == str(controls / "4.png") and said["control_image_path"] == [said["image_path"]]
    assert str(said["one_frame"]).startswith("no_2x") and said["frame_count"] == 1


def test_a_clip_begins_with_a_picture_of_the_dataset(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("wan22-i2v-a14b-lora"), dataset, tmp_path / "session")
    first, second = prompts_of(trainer.draw(job, None, PROMPTS, tmp_path / "before"))
    assert first["image_path"] == str(dataset.folder / "4.png") and "control_image_path" not in first
    assert second["image_path"] in (str(dataset.folder / "4.png"), str(dataset.folder / "5.png"))
    assert first["frame_count"] == 17

    film = tmp_path / "film"
    film.mkdir()
    for n in range(2):
        (film / f"{n}.mp4").write_bytes(bytes([n]))
        (film / f"{n}.txt").write_text(f"zorp {n}")
    filmed = DatasetSplit(
        film, (Picture(film / "0.mp4", "zorp 0", 0, 0),), (), (), (), sources=(Source(film, media="video"),)
    )
    job = make_job(of("wan22-i2v-a14b-lora"), filmed, tmp_path / "filmed")
    frames, *caches = trainer.prepare(job)
    assert frames.argv[1:3] == (clips.__file__, "first") and len(caches) == 2
    wanted = json.loads(Path(frames.argv[3]).read_text())
    assert wanted.keys() == {str(film / "0.mp4"), str(film / "1.mp4")}
    (said,) = prompts_of(trainer.draw(job, None, [Prompt("zorp 1", 1)], tmp_path / "drawn"))
    assert said["image_path"] == wanted[str(film / "1.mp4")]
    for picture in wanted.values():
        Path(picture).parent.mkdir(exist_ok=True)
        Path(picture).touch()
    assert frames.argv not in [launch.argv for launch in trainer.prepare(job)]
    (dataset_,) = toml_of(caches[0])["datasets"]
    assert dataset_["target_frames"] == [17] and "video_directory" in dataset_


def write_clip(path: Path) -> None:
    """A red frame and a blue one."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 64
        for colour in ("red", "blue"):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 64), colour))))
        container.mux(stream.encode())


def colour_of(path: Path) -> str:
    red, _, blue = Image.open(path).convert("RGB").getpixel((32, 32))  # type: ignore[misc]
    return "red" if red > blue else "blue"


def test_first_frames_become_pictures(tmp_path: Path) -> None:
    write_clip(tmp_path / "red.mp4")
    (tmp_path / "broken.mp4").write_bytes(b"x")
    request = {str(tmp_path / f"{n}.mp4"): str(tmp_path / "out" / f"{n}.png") for n in ("broken", "red")}
    write_json(tmp_path / "request.json", request)
    assert clips.first(tmp_path / "request.json") == 1
    (made,) = (tmp_path / "out").iterdir()
    assert made.name == "red.png" and colour_of(made) == "red"


def test_only_what_draws_clips_is_run_for_its_frames(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("wan21-i2v-14b-lora"), dataset, tmp_path / "session")
    launch = trainer.launch(job, [make_trial(job, job.preset.baseline)])
    assert launch.argv[1:3] == (clips.__file__, "run") and launch.argv[3].endswith("wan_train_network.py")
    still = make_job(of("wan21-t2v-14b-lora"), dataset, tmp_path / "still")
    assert clips.__file__ not in trainer.launch(still, [make_trial(still, still.preset.baseline)]).argv


def test_a_judge_sees_the_last_frame_of_a_clip(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(of("wan21-i2v-14b-lora"), dataset, tmp_path / "session")
    trial = make_trial(job, job.preset.baseline)
    trainer.launch(job, [trial])
    samples = trial.folder / "checkpoints" / "sample"
    samples.mkdir(parents=True)
    write_clip(samples / "search-000_000120_00_20261121120000_3.mp4")
    script = tmp_path / "script.py"
    script.write_text("import sys\nassert sys.argv[1] == '--x' and __name__ == '__main__'\nraise SystemExit(3)\n")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    with pytest.raises(SystemExit, match="3"):
        clips.run(str(script), ["--x", "--output_dir", str(samples.parent)])
    (sample,) = trainer.find_samples(trial)
    assert (sample.step, sample.prompt, sample.path.suffix) == (120, "zorp 4", ".png")
    assert colour_of(sample.path) == "blue"


def test_drawing_takes_the_checkpoint_and_trains_nothing(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    job = make_job(of("z-image-lora"), dataset, tmp_path / "session")
    trial = make_trial(job, effective({**job.preset.baseline, "rank": 8, "optimizer": "prodigy"}, job.knobs))
    trainer.launch(job, [trial])
    checkpoint = trial.folder / "checkpoints" / f"{trial.id}.safetensors"
    said = words_of(trainer.draw(job, checkpoint, PROMPTS, tmp_path / "confirm" / "winner"))
    assert said["--network_weights"] == [str(checkpoint)] and said["--network_dim"] == ["8"]
    assert said["--max_train_steps"] == ["0"] and "--sample_at_first" in said
    assert said["--optimizer_type"] == ["adamw"] and "--optimizer_args" not in said
    assert said["--output_dir"] == [str(tmp_path / "confirm" / "winner" / "checkpoints")]
    assert "--network_weights" not in words_of(trainer.draw(job, None, PROMPTS, tmp_path / "before"))


def test_a_full_checkpoint_stands_in_for_the_model(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path
) -> None:
    for name, script in (
        ("z-image-full", "zimage_train_network.py"),
        ("qwen-image-full", "qwen_image_train_network.py"),
        ("hidream-o1-full", "hidream_o1_train_network.py"),
    ):
        job = make_job(of(name), dataset, tmp_path / name, of(name).vram[0])
        trial = make_trial(job, effective(job.preset.baseline, job.knobs))
        trainer.launch(job, [trial])
        checkpoint = trial.folder / "checkpoints" / f"{trial.id}.safetensors"
        launch = trainer.draw(job, checkpoint, PROMPTS, tmp_path / name / "winner")
        assert Path(launch.argv[1]).name == script
        assert check_argv(launch.argv, recorded("musubi-tuner", script)) == []
        said = words_of(launch)
        assert said["--dit"] == [str(checkpoint)] and "--network_weights" not in said
        assert said["--network_dim"] == ["1"] and not {"--full_bf16", "--fused_backward_pass"} & said.keys()


def test_its_own_source_comes_first_on_the_path(
    trainer: MusubiTrainer, home: Home, dataset: DatasetSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/theirs")
    launch = trainer.prepare(make_job(of("krea2-lora"), dataset, tmp_path))[0]
    assert launch.env["PYTHONPATH"].split(":")[0].endswith("src") and "/theirs" in launch.env["PYTHONPATH"]
    assert launch.cwd == home.folder and launch.argv[0] == str(home.python)
    only_inside = trainer.program(home, "flux_2_train_network_self_flow.py")
    assert only_inside.is_file() and only_inside.parent.name == "musubi_tuner"
    assert trainer.program(home, "zimage_train.py") == home.folder / "zimage_train.py"


def test_a_whole_job_has_no_problems(trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    plain = replace(dataset, train=tuple(replace(p, controls=()) for p in dataset.train))
    for preset in PRESETS.values():
        for profile in profiles(preset):
            pictures = dataset if preset.media == "edit" else plain
            assert trainer.check(make_job(preset, pictures, tmp_path, profile)) == [], preset.name


def test_what_this_dataset_can_not_teach_is_told(trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path) -> None:
    plain = replace(dataset, train=tuple(replace(p, controls=()) for p in dataset.train))
    (problem,) = trainer.check(make_job(of("flux1-kontext-lora"), plain, tmp_path))
    assert problem.level == "error" and "no picture has a control picture" in problem.message
    clips = replace(plain, sources=(Source(dataset.folder, media="video"),))
    (problem,) = trainer.check(make_job(of("z-image-lora"), clips, tmp_path))
    assert problem.level == "error" and problem.message == "Z-Image trains on pictures, not on clips"
    job = make_job(of("hidream-o1-lora"), dataset, tmp_path)
    (problem,) = trainer.check(job)
    assert problem.level == "warning" and "without the control pictures" in problem.message
    assert "control_directory" not in toml_of(trainer.prepare(job)[0])["datasets"][0]
    alone = replace(dataset, train=plain.train, validation=(), folder=tmp_path / "empty", sources=())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="No picture of the dataset has a control picture"):
        trainer.draw(make_job(of("flux1-kontext-lora"), alone, tmp_path), None, PROMPTS, tmp_path / "out")


def test_a_checkout_of_another_version_is_told(
    trainer: MusubiTrainer, home: Home, dataset: DatasetSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    shutil.copytree(home.folder, other, ignore=shutil.ignore_patterns("venv"))
    monkeypatch.setenv("BRACKET_MUSUBI", str(other))
    script = other / "krea2_train_network.py"
    script.write_text(script.read_text().replace('"--network_module"', '"--adapter"'))
    plain = replace(dataset, train=tuple(replace(p, controls=()) for p in dataset.train))
    (problem,) = trainer.check(make_job(of("krea2-lora"), plain, tmp_path))
    assert problem.message == (
        "this musubi-tuner doesn't know --network_module in krea2_train_network.py: it is of another version"
    )
    script.unlink()
    (problem,) = trainer.check(make_job(of("krea2-lora"), plain, tmp_path))
    assert "has no krea2_train_network.py" in problem.message and "trainers update musubi" in problem.remedy


def test_an_optimiser_whose_package_is_missing_is_told(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = {k: v for k, v in CORE.items() if k != "bitsandbytes"}
    monkeypatch.setenv("BRACKET_MUSUBI_PYTHON", str(fake_venv(tmp_path / "poor", bare)))
    plain = replace(dataset, train=tuple(replace(p, controls=()) for p in dataset.train))
    found = [p.message for p in trainer.check(make_job(of("z-image-lora"), plain, tmp_path)) if p.level == "error"]
    assert found == [
        "optimizer adamw8bit needs bitsandbytes, which is missing",
        "optimizer prodigy needs prodigyopt, which is missing",
    ]


def test_without_tensorboard_nothing_starts(
    trainer: MusubiTrainer, dataset: DatasetSplit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = {k: v for k, v in CORE.items() if k != "tensorboard"}
    monkeypatch.setenv("BRACKET_MUSUBI_PYTHON", str(fake_venv(tmp_path / "poor", bare)))
    found = [p for p in trainer.check(make_job(of("z-image-lora"), dataset, tmp_path)) if p.level == "error"]
    assert any("tensorboard" in p.message for p in found)
