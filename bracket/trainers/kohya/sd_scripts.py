"""kohya's sd-scripts: SD 1.5, SDXL, SD 3.5, FLUX.1, Lumina, HunyuanImage and Anima.

Its caches lie beside the pictures, so it trains on links under the session's cache, in a folder for everything the
caches depend on: SD's and SDXL's latents are taken for valid whatever resolution, model or picture they were made from.
They are made by the train script itself, on its way to a training of no steps: the two caching tools know four of the
models only, leave out the pictures of the validation loss, and encode by flags of their own. Pictures of a finished
checkpoint come about on the same way.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from bracket.dataset.reading.keys import SD_DATASET, SD_SUBSET, Keys
from bracket.dataset.splitting import sources_of
from bracket.dataset.writing.dialects import sd_scripts_toml, untold, without
from bracket.dataset.writing.links import link_pictures
from bracket.domain import Knob, Launch, Picture, Problem, Prompt, Source, Trial
from bracket.homes import Home, find_home
from bracket.homes.look import canonical
from bracket.presets import Script
from bracket.trainers.artefacts import SD_SCRIPTS_TAGS
from bracket.trainers.base import Job, settings_of
from bracket.trainers.kohya.common import (
    DATASET,
    KohyaTrainer,
    config_of,
    dataset_options,
    dataset_variants,
    interval,
    is_prepared,
    missing_packages,
    scripts_of,
    searched_options,
    with_checkpoint,
)

_CACHED_OPTIONS = tuple(
    sorted(
        (SD_DATASET.keys() | SD_SUBSET.keys())
        - {"batch_size", "cache_info", "network_multiplier", "num_repeats", "validation_seed", "validation_split"}
        - {k for k in SD_SUBSET if k.startswith(("caption_dropout", "caption_tag", "keep_", "token_", "shuffle_"))}
    )
)
"""Dataset settings that change what is cached, and what of the pictures is measured."""
_DROPOUT = "caption_dropout_rate"
"""Anima's caches of captions keep this rate, and it is read from there alone."""
_CACHED_FLAGS = (
    "--apply_lg_attn_mask", "--apply_t5_attn_mask", "--clip_skip", "--max_token_length", "--mixed_precision",
    "--no_half_vae", "--qwen3_max_token_length", "--system_prompt", "--t5_max_token_length", "--t5xxl_max_token_length",
    "--vae", "--weighted_captions",
)  # fmt: skip
"""Flags that do."""
_MEASURED_FLAGS = frozenset({
    "--adaptive_noise_scale", "--debiased_estimation_loss", "--discrete_flow_shift", "--guidance_scale", "--huber_c",
    "--huber_scale", "--huber_schedule", "--ip_noise_gamma", "--logit_mean", "--logit_std", "--loss_type",
    "--max_timestep", "--min_snr_gamma", "--min_timestep", "--mode_scale", "--model_prediction_type",
    "--multires_noise_discount", "--multires_noise_iterations", "--noise_offset", "--noise_offset_random_strength",
    "--sigmoid_scale", "--timestep_sampling", "--training_shift", "--v_pred_like_loss", "--weighting_scheme",
    "--zero_terminal_snr",
})  # fmt: skip
"""Flags that the validation loss is measured under as well as the training: it means something else with each value."""
_DROPOUTS = ("--network_dropout", "--network_args:rank_dropout", "--network_args:module_dropout")
_LORA_OF = {
    "sdxl_train.py": ("sdxl_train_network.py", "networks.lora"),
    "sd3_train.py": ("sd3_train_network.py", "networks.lora_sd3"),
    "flux_train.py": ("flux_train_network.py", "networks.lora_flux"),
    "lumina_train.py": ("lumina_train_network.py", "networks.lora_lumina"),
    "anima_train.py": ("anima_train_network.py", "networks.lora_anima"),
}
"""Full fine-tune's script: the LoRA script of the same model. With a LoRA that does nothing yet it caches and draws the
same, in less memory, and doesn't save the whole model once more."""
_OF_STEPS = (
    "--fused_",
    "--learning_rate",
    "--lr_",
    "--max_grad_norm",
    "--optimizer_",
    "--text_encoder_lr",
    "--unet_lr",
)
"""Beginnings of flags that only steps are made with: where there are none, no optimiser takes memory or is missing."""
_OF_FULL_ONLY = ("--block_lr", "--blockwise_fused_optimizers", "--diffusers_xformers", "--full_", "--gradient_",
                 "--mem_eff_save", "--save_", "--train_text_encoder", "--use_safetensors")  # fmt: skip
"""Beginnings of flags that LoRA scripts don't have, or have no use for."""
_CACHED_CAPTIONS, _CACHED_LATENTS = "--cache_text_encoder_outputs", "--cache_latents"
_NOT_WITH_CACHES = {
    _CACHED_CAPTIONS: ("shuffle_caption", "caption_tag_dropout_rate", "token_warmup_step", _DROPOUT),
    _CACHED_LATENTS: ("color_aug", "random_crop"),
}
"""Dataset options that draw lots over what was cached once; sd-scripts stops at an assertion."""
_NEVER = 1_000_000
_SMALLEST: Mapping[str, object] = {"--network_dim": 1, "--network_alpha": 1}
_LIBRARIES = {
    "lion": "lion-pytorch", "prodigy": "prodigyopt", "radamschedulefree": "schedulefree",
    "adamwschedulefree": "schedulefree", "sgdschedulefree": "schedulefree",
}  # fmt: skip
_PROMPT_KEYS = {
    "steps": "sample_steps",
    "guidance": "scale",
    "negative": "negative_prompt",
    "sampler": "sample_sampler",
}


class SdScriptsTrainer(KohyaTrainer):
    """LoRAs of all its models, and full fine-tunes."""

    name = "sd_scripts"
    title = "sd-scripts"
    tags = SD_SCRIPTS_TAGS
    dialect = "sd-scripts"
    dataset_keys: ClassVar[Keys] = {**SD_DATASET, **SD_SUBSET}
    prompt_keys = _PROMPT_KEYS

    def program(self, home: Home, script: str) -> Path:
        # Started by its Python and not by `accelerate launch`: the exit code and the signals are then the trainer's
        # own, and what a user once answered to `accelerate config` doesn't change a trial.
        return home.folder / script

    def check(self, job: Job) -> list[Problem]:
        problems = super().check(job)
        if not any(p.level == "error" for p in problems):
            problems += missing_packages(job, find_home(self.name), _library)
        lost = untold("sd_scripts", sources_of(job.dataset), job.dataset.options)
        return [*problems, *(_dataset_problems(job) or lost), *_measure_problems(job)]

    def dataset_toml(self, job: Job, settings: Mapping[str, object]) -> str:
        options = dataset_options(job, settings)
        folder = _data_folder(job, settings)
        train = self._linked(job, job.dataset.train, folder / "train")
        held = self._linked(job, job.dataset.validation, folder / "validation") if _validates(job) else ()
        # One picture a batch: the mean over batches is then one over pictures, whatever batch size is trained with.
        single = [replace(s, options={**s.options, "batch_size": 1}) for s in held if not s.regularisation]
        return sd_scripts_toml(train, options, validation=single)

    def _linked(self, job: Job, pictures: Sequence[Picture], folder: Path) -> tuple[Source, ...]:
        return without(link_pictures(job.dataset, pictures, folder), searched_options(job)) if pictures else ()

    def trial_flags(self, job: Job, trial: Trial) -> dict[str, object]:
        """The validation loss at the end, and before it no more than once in the first epoch: sd-scripts' mean takes in
        all that were measured there, and never forgets them quite (train_util.LossRecorder).

        Its epochs' own validation is turned off. With no loader processes its pictures stay in one order, so that the
        same noise meets the same picture in every trial.
        """
        if not _validates(job):
            return {}
        every = interval(trial.steps, max(job.validate_every, _longest_epoch(job)) if job.validate_every else 0)
        return {"--validate_every_n_steps": every, "--validate_every_n_epochs": _NEVER, "--validation_seed": 0}

    def prepare(self, job: Job) -> list[Launch]:
        """One launch for each combination of searched dataset settings that changes the caches."""
        launches = []
        for settings in dataset_variants(job, _cached_options(job.fixed)):
            if not settings.get("--cache_latents_to_disk"):
                continue
            folder = _data_folder(job, settings).with_suffix(".caching")
            argv = self._without_training(job, folder, settings, (), {**_SMALLEST, "--output_name": "nothing"})
            launch = self.run(argv, folder.with_suffix(".log"))
            if not is_prepared(launch, (*job.dataset.train, *job.dataset.validation)):
                _remove_torn(folder.with_suffix(""))
                launches.append(launch)
        return launches

    def draw(self, job: Job, checkpoint: Path | None, prompts: Sequence[Prompt], out: Path) -> Launch:
        """Draws before a training that is none. sd-scripts draws with dropouts active: here there are none."""
        settings = settings_of(job, config_of(job, checkpoint))
        job, flag = with_checkpoint(job, checkpoint)
        more = {"--output_name": out.name, "--sample_at_first": True, **flag}
        kept = {k: v for k, v in settings.items() if k not in _DROPOUTS}
        argv = self._without_training(_one_picture(job, out), out, kept, prompts, more)
        return self.run(argv, out.with_name(f"{out.name}.log"))

    def _without_training(
        self,
        job: Job,
        folder: Path,
        settings: Mapping[str, object],
        prompts: Sequence[Prompt],
        more: Mapping[str, object],
    ) -> list[str]:
        """The command of a training of no steps, which caches and draws all the same."""
        script = scripts_of(job).train
        left_out: tuple[str, ...] = _OF_STEPS
        kept = {**script.settings, **settings}
        if script.script in _LORA_OF:
            left_out = (*_OF_STEPS, *_OF_FULL_ONLY)
            name, module = _LORA_OF[script.script]
            script = Script(script=name, weights=script.weights)
            more = {**more, "--network_module": module, "--network_train_unet_only": True, **_SMALLEST}
        kept = {flag: value for flag, value in kept.items() if not flag.startswith(left_out)}
        argv = self._argv(job, script, folder, kept, prompts, {"--seed": 1, "--max_train_steps": 0, **more})
        return [*argv, *_without_flags(job.extra_args, left_out)]


def _longest_epoch(job: Job) -> int:
    """Steps that an epoch has at most: one a picture, and as many again for regularisation pictures."""
    sources = sources_of(job.dataset)
    trained = sum(sources[p.source].repeats for p in job.dataset.train)
    return trained * (2 if any(s.regularisation for s in sources) else 1)


def _data_folder(job: Job, settings: Mapping[str, object]) -> Path:
    """Where the links and caches of trials with these settings lie."""
    options = dataset_options(job, settings)
    script = scripts_of(job).train
    matters = [
        sorted(script.weights.items()),
        {key: _stamp(job.weights.get(key, "")) for key in script.weights.values()},
        {key: options.get(key) for key in _cached_options(settings)},
        {flag: {**script.settings, **settings}.get(flag) for flag in _CACHED_FLAGS},
        job.extra_args,
    ]
    digest = hashlib.sha256(json.dumps(matters, sort_keys=True, default=str).encode()).hexdigest()[:12]
    return job.folder / "cache" / "data" / digest


def _without_flags(words: Sequence[str], starts: tuple[str, ...]) -> list[str]:
    """Words of a command line without flags that begin so, and what belongs to them."""
    kept: list[str] = []
    keep = True
    for word in words:
        keep = not word.startswith(starts) if word.startswith("--") else keep
        kept += [word] if keep else []
    return kept


def _cached_options(settings: Mapping[str, object]) -> tuple[str, ...]:
    return (*_CACHED_OPTIONS, _DROPOUT) if settings.get(_CACHED_CAPTIONS) else _CACHED_OPTIONS


def _remove_torn(folder: Path) -> None:
    """Caches that were cut off as they were written; sd-scripts would stop at them ever after."""
    for cache in folder.rglob("*.npz"):
        if not zipfile.is_zipfile(cache):
            cache.unlink()


def _stamp(weight: str) -> list[object]:
    try:
        status = Path(weight).stat()
    except (OSError, ValueError):
        return [weight]
    return [weight, status.st_size, status.st_mtime_ns]


def _one_picture(job: Job, out: Path) -> Job:
    """The job with a dataset of a single picture, its links under `out`: a script that only draws wants one, too."""
    sources = tuple(replace(s, regularisation=False) for s in job.dataset.sources)
    dataset = replace(job.dataset, train=job.dataset.train[:1], validation=(), sources=sources)
    return replace(job, folder=out, dataset=dataset)


def _validates(job: Job) -> bool:
    """Whether trials have a validation loss that means the same in all of them. Full fine-tunes have none at all."""
    return bool(job.dataset.validation) and "network" in scripts_of(job).train.script and not _unlike(job)


def _unlike(job: Job) -> list[Knob]:
    """Knobs that change what the validation loss measures: its noise, timesteps and weights, its pictures' size."""
    cached = {f"{DATASET}{option}" for option in _CACHED_OPTIONS}
    return [k for k in job.knobs if _varies(k) and (cached | _MEASURED_FLAGS) & _settings_by(k)]


def _settings_by(knob: Knob) -> set[str]:
    return {*knob.targets, *(setting for meant in knob.means.values() for setting in meant)}


def _varies(knob: Knob) -> bool:
    return len(knob.choices) > 1 if knob.kind == "choice" else knob.low != knob.high


def _measure_problems(job: Job) -> list[Problem]:
    knobs = _unlike(job)
    if not knobs or "network" not in scripts_of(job).train.script or not job.dataset.validation:
        return []
    names = ", ".join(k.name for k in knobs)
    said = (
        f"trials are judged by their pictures alone: sd-scripts' validation loss means something else for each {names}"
    )
    return [Problem("info", said, f"Take {names} out of the search to have it counted.")]


def _dataset_problems(job: Job) -> list[Problem]:
    """What sd-scripts would stop at."""
    anima = "anima" in scripts_of(job).train.script
    clips = [s.folder for s in job.dataset.sources if s.media == "video"]
    found = [Problem("error", "sd-scripts can't train on clips", "Take them out of the dataset.", f) for f in clips]
    for settings in (dataset_options(job, job.fixed), *(s.options for s in sources_of(job.dataset))):
        for flag, options in _NOT_WITH_CACHES.items():
            for option in options:
                if job.fixed.get(flag) and settings.get(option) and not (anima and option == _DROPOUT):
                    what = f"{option} can't be had while {flag} is set, as it is by this preset"
                    found.append(Problem("error", what, f"Take {option} out of the dataset.", job.dataset.folder))
    return found


def _library(optimizer: str) -> str:
    """The distribution an `--optimizer_type` comes from; "" for those of torch and transformers."""
    name = optimizer.lower()
    if name.endswith("8bit") or name.startswith("paged"):
        return "bitsandbytes"
    if "." in optimizer:
        module = canonical(optimizer.partition(".")[0])
        return "" if module in ("torch", "transformers") else module
    return _LIBRARIES.get(name, "")
