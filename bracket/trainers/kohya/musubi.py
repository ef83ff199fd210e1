"""kohya's musubi-tuner: its caches made once a session, its datasets and prompts in its own words.

It has no validation, so a trial's loss says nothing of pictures it has not seen: its score rests on its pictures alone.
Training reads nothing but the cache folders, which the two cache scripts of a model fill: they overwrite what is there
and remove what no longer belongs, so a changed, added or removed picture means running them again, without
`--skip_existing` (a cache's name tells neither the picture's contents nor its resolution).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from bracket.dataset.reading.keys import MUSUBI_GENERAL, MUSUBI_IMAGE, MUSUBI_VIDEO, Keys
from bracket.dataset.reading.media import VIDEO_SUFFIXES
from bracket.dataset.splitting import sources_of
from bracket.dataset.writing.dialects import musubi_toml, untold, without
from bracket.dataset.writing.links import link_pictures
from bracket.domain import Launch, Problem, Prompt, Source
from bracket.files import write_json, write_text
from bracket.homes import Home, find_home
from bracket.homes.look import canonical
from bracket.presets import Script
from bracket.trainers.artefacts import MUSUBI_TAGS
from bracket.trainers.base import Job, settings_of
from bracket.trainers.kohya import clips
from bracket.trainers.kohya.common import (
    KohyaTrainer,
    config_of,
    dataset_options,
    dataset_variants,
    is_prepared,
    missing_packages,
    scripts_of,
    searched_options,
    weight_flags,
    with_checkpoint,
    with_path,
)
from bracket.trainers.kohya.flags import flags
from bracket.trainers.shown import all_pictures, dataset_problems, shown

_CACHED_OPTIONS = (MUSUBI_GENERAL.keys() | MUSUBI_IMAGE.keys() | MUSUBI_VIDEO.keys()) - {"batch_size", "num_repeats"}
"""Dataset settings that change what is cached."""
_ENCODER_FLAGS = ("--fp8_llm", "--fp8_vl", "--fp8_t5", "--fp8_text_encoder")
"""How a text encoder is loaded: captions and prompts should be encoded alike, and both must fit into memory."""
_LORA_OF = {
    "zimage_train.py": ("zimage_train_network.py", "networks.lora_zimage"),
    "qwen_image_train.py": ("qwen_image_train_network.py", "networks.lora_qwen_image"),
    "hidream_o1_train.py": ("hidream_o1_train_network.py", "networks.lora_hidream_o1"),
}
"""Full fine-tune's script: the LoRA script of the same model. With a LoRA that does nothing yet it draws the same, in
less memory, and doesn't save the whole model once more."""
_OF_TRAINING = ("--block_swap_optimizer_", "--full_bf16", "--fused_backward_pass", "--lr_", "--mem_eff_save",
                "--network_dropout", "--optimizer_")  # fmt: skip
"""Flags that drawing doesn't need and some of which a LoRA script doesn't know."""
_SMALLEST: Mapping[str, object] = {"--network_dim": 1, "--network_alpha": 1}
_START = "start"
"""House name of the picture a clip begins with; a preset's `prompt_keys` says that its model wants one."""
_PROMPT_KEYS = {
    "steps": "sample_steps",
    "guidance": "cfg_scale",
    "negative": "negative_prompt",
    "flow_shift": "discrete_flow_shift",
    "frames": "frame_count",
}


class MusubiTrainer(KohyaTrainer):
    """LoRAs and full fine-tunes of Z-Image, FLUX.2, Qwen-Image, Wan, HunyuanVideo and more."""

    name = "musubi"
    title = "musubi-tuner"
    tags = MUSUBI_TAGS
    dialect = "musubi"
    dataset_keys: ClassVar[Keys] = {**MUSUBI_GENERAL, **MUSUBI_IMAGE, **MUSUBI_VIDEO}
    prompt_keys = _PROMPT_KEYS

    def program(self, home: Home, script: str) -> Path:
        """At the checkout's root, or where only the package has it."""
        place = home.folder / script
        return place if place.is_file() else home.folder / "src" / "musubi_tuner" / script

    def environment(self, home: Home) -> dict[str, str]:
        return super().environment(home) | {"PYTHONPATH": with_path("PYTHONPATH", home.folder / "src")}

    def check(self, job: Job) -> list[Problem]:
        lost = untold("musubi", sources_of(job.dataset), job.dataset.options)
        problems = [*super().check(job), *(dataset_problems(job) or lost)]
        if any(p.level == "error" for p in problems):
            return problems
        return [*problems, *missing_packages(job, find_home(self.name), _package)]

    def dataset_toml(self, job: Job, settings: Mapping[str, object]) -> str:
        return musubi_toml(_sources(job), dataset_options(job, settings), _cache(job))

    def prepare(self, job: Job) -> list[Launch]:
        home = find_home(self.name)
        dataset = self._cache_toml(job)
        encoders = {flag: job.fixed[flag] for flag in _ENCODER_FLAGS if flag in job.fixed}
        launches = list(self._first_frames(job))
        for script in scripts_of(job).cache:
            settings = {**script.settings, **(encoders if "text_encoder" in script.script else {})}
            argv = [str(self.program(home, script.script)), "--dataset_config", str(dataset)]
            argv += flags({**weight_flags(job, script), **settings})
            launch = self.run(argv, _cache(job) / f"{Path(script.script).stem}.log")
            if not is_prepared(launch, job.dataset.train):
                launches.append(launch)
        return launches

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        """Draws before a training of no steps, for which any optimiser will do."""
        script = scripts_of(job).train
        settings = {**script.settings, **settings_of(job, config_of(job, checkpoint))}
        settings = {k: v for k, v in settings.items() if not k.startswith(_OF_TRAINING)}
        more: dict[str, object] = {
            "--seed": 1,
            "--max_train_steps": 0,
            "--optimizer_type": "adamw",
            "--output_name": out.name,
            "--sample_at_first": True,
        }
        job, flag = with_checkpoint(job, checkpoint)
        more |= flag
        if script.script in _LORA_OF:
            name, module = _LORA_OF[script.script]
            script = Script(script=name, weights=script.weights)
            more |= {"--network_module": module, **_SMALLEST}
        argv = self._argv(job, script, out, settings, prompts, more)
        return self.run([*argv, *job.extra_args], out.with_name(f"{out.name}.log"))

    def _argv(self, job: Job, *rest: Any) -> list[str]:
        """Where clips are drawn, a picture of each is left, too: judges look at pictures."""
        argv = super()._argv(job, *rest)
        frames = [job.sample.get("frames", 1), *(own.get("f", 1) for own in job.dataset.drawn.values())]
        return [clips.__file__, "run", *argv] if any(int(str(n)) > 1 for n in frames) else argv

    def _cache_toml(self, job: Job) -> Path:
        """A dataset file with everything that any trial trains on: one run of a cache script loads its model once.

        It is named by its contents and the encoders, so that caches made from others are not taken for these.
        """
        shared = dataset_options(job, settings_of(job, config_of(job, None))) | {"batch_size": 1}
        sources: dict[str, Source] = {}
        for settings in dataset_variants(job, sorted(_CACHED_OPTIONS)):
            options = dataset_options(job, settings)
            other = {k: v for k, v in options.items() if k in _CACHED_OPTIONS and shared.get(k) != v}
            for source in _sources(job):
                variant = replace(source, options={**other, **source.options})
                sources[repr(variant)] = variant
        text = musubi_toml(tuple(sources.values()), shared, _cache(job))
        digest = hashlib.sha256(f"{text}{_encoders(job)}".encode()).hexdigest()[:12]
        path = _cache(job) / f"dataset-{digest}.toml"
        write_text(path, text)
        return path

    def _first_frames(self, job: Job) -> Iterator[Launch]:
        """What makes pictures of the clips that prompts begin with."""
        if _START not in job.preset.prompt_keys:
            return
        wanted = {
            str(picture.path): str(_first_frame(job, picture.path))
            for picture in (*job.dataset.train, *job.dataset.validation, *all_pictures(job))
            if _is_clip(picture.path) and not _first_frame(job, picture.path).exists()
        }
        if wanted:
            request = _cache(job) / "first-frames.json"
            write_json(request, wanted)
            yield self.run([clips.__file__, "first", str(request)], request.with_suffix(".log"))

    def _prompt(self, job: Job, prompt: Prompt) -> dict[str, Any]:
        said = super()._prompt(job, prompt)
        start = job.preset.prompt_keys.get(_START)
        if not start and job.preset.media != "edit":
            return said
        picture = shown(job, prompt)
        if job.preset.media == "edit":
            shown_with = {"control_image_path": [str(c) for c in picture.controls]}
            return shown_with | ({start: str(picture.controls[0])} if start else {}) | said
        return {str(start): str(_first_frame(job, picture.path) if _is_clip(picture.path) else picture.path)} | said


def _cache(job: Job) -> Path:
    return job.folder / "cache" / "musubi"


def _encoders(job: Job) -> list[tuple[str, int, int]]:
    """Size and time of the files that caches are made with."""
    names = {key for script in scripts_of(job).cache for key in script.weights.values()}
    files = [Path(job.weights[key]) for key in sorted(names) if job.weights.get(key)]
    return [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()]


def _is_clip(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES


def _first_frame(job: Job, clip: Path) -> Path:
    status = clip.stat()
    mark = hashlib.sha256(f"{clip} {status.st_mtime_ns} {status.st_size}".encode()).hexdigest()[:12]
    return _cache(job) / "first-frames" / f"{clip.stem}-{mark}.png"


def _sources(job: Job) -> tuple[Source, ...]:
    """Links to the pictures that are trained on; what knobs set is taken out of the sources' own options, and so are
    control pictures where the model isn't taught edits."""
    sources = link_pictures(job.dataset, job.dataset.train, job.folder / "cache" / "data")
    sources = without(sources, searched_options(job))
    if job.preset.media == "edit":
        return sources
    return tuple(replace(s, controls=()) for s in without(sources, ("control_directory",)))


def _package(optimizer: str) -> str:
    """The distribution an `--optimizer_type` comes from; "" for those of torch and transformers."""
    if optimizer.lower().endswith("8bit"):
        return "bitsandbytes"
    module = optimizer.partition(".")[0] if "." in optimizer else ""
    return "" if module in ("", "torch", "transformers") else canonical(module)
