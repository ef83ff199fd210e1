"""AI-Toolkit's JSON config of one run: settings by dotted key become its tree, with dataset, prompts and validation.

AI-Toolkit replaces `${NAME}` in the whole text of the file by environment variables, and `[name]` by the name of the
job. Captions and prompts are the user's own, so `$` is written as an escape of JSON, and the trainer is started with
`--name [name]`, which makes the second replacement one by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bracket.dataset.reading.keys import AI_TOOLKIT
from bracket.dataset.reading.prompts import sampling
from bracket.dataset.writing.dialects import ai_toolkit_datasets, without
from bracket.dataset.writing.links import link_pictures
from bracket.domain import Prompt, Source, Trial
from bracket.files import write_text
from bracket.trainers.base import Job, nested, settings_of
from bracket.trainers.kohya.common import interval
from bracket.trainers.shown import shown

DATASETS, SAMPLE = "datasets.", "sample."
SAMPLE_KEYS = {
    "width": "width", "height": "height", "steps": "sample_steps", "guidance": "guidance_scale", "negative": "neg",
    "frames": "num_frames", "fps": "fps",
}  # fmt: skip
_OPENED = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
"""Pictures that Pillow opens whatever it was built with; of clips AI-Toolkit measures no loss."""
_SAVES = 4
"""How often an interrupted trial could save itself: it loses at most a quarter of its steps."""
_VALIDATIONS = 4


@dataclass(frozen=True)
class Run:
    """One start of the trainer.

    Attributes:
        name: of its checkpoints, and of the folder in `folder` that takes everything it writes.
        steps: length of the schedule, which is where it ends unless it is stopped before.
        until: updates after which it is stopped; `steps` when it isn't.
        draws_first: whether it draws before it trains.
        saves: whether it saves itself now and then on its way.
        validates: whether it measures the validation loss.
    """

    name: str
    folder: Path
    control: Path
    settings: Mapping[str, object]
    prompts: Sequence[Prompt]
    seed: int = 0
    steps: int = 0
    until: int = 0
    draws_first: bool = False
    saves: bool = False
    validates: bool = False


def trial_settings(job: Job, trial: Trial | None = None) -> dict[str, object]:
    """A trial's settings (None: the baseline's) by dotted key: the weights, what all share, its config, an expert's
    additions."""
    weights = {key: path for key, path in job.weights.items() if path}
    chosen = settings_of(job, trial.config if trial else job.preset.baseline)
    return {**_spread(chosen), **weights, **_spread(additions(job.extra_args))}


def additions(words: Sequence[str]) -> dict[str, object]:
    """An expert's `dotted.key=value` words as settings; a value is read as JSON where it is JSON, else it is text.

    Words of another form are left out: `check` says so.
    """
    pairs = (word.partition("=") for word in words)
    return {key.strip(): _value(text) for key, equals, text in pairs if equals}


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def write_config(path: Path, job: Job, run: Run, pictures: Path) -> None:
    """Writes the config of a run.

    Args:
        pictures: the folder for links to the dataset's pictures.

    Raises:
        DatasetError, StorageError: the pictures can't be linked.
    """
    datasets = dataset_entries(job, run.settings, link_pictures(job.dataset, job.dataset.train, pictures))
    text = json.dumps({"job": "extension", "config": {"name": run.name, "process": [process(job, run, datasets)]}},
                      indent=2)  # fmt: skip
    write_text(path, text.replace("$", "\\u0024") + "\n")


def process(job: Job, run: Run, datasets: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """The one process of a run's config."""
    flat = {k: v for k, v in run.settings.items() if not k.startswith((DATASETS, "dataset.")) and v is not None}
    if job.preset.method == "full":
        flat = {k: v for k, v in flat.items() if not k.startswith("network.")}
    if "batch_size" in job.dataset.options and "train.batch_size" not in _decided(job):
        flat["train.batch_size"] = job.dataset.options["batch_size"]
    every = -(-run.steps // _SAVES)
    own = {
        "save.save_every": beside(every, run.until) if run.saves else None,
        "save.max_step_saves_to_keep": 1,
        "train.steps": run.steps,
        "train.skip_first_sample": not run.draws_first,
        "train.force_first_sample": run.draws_first,
        "train.disable_sampling": not run.prompts,
        "logging.log_every": 1,
        "logging.use_ui_logger": True,
        "sample.sample_every": beside(job.sample_every, run.until) if run.saves and job.sample_every else None,
        "sample.walk_seed": False,
        "sample.samples": samples(job, run.prompts),
    }
    tree = nested({**flat, **own})
    if run.validates and (validation := _validation(job, run)):
        tree["train"].setdefault("validation_config", {}).update(validation)
    else:
        tree["train"].pop("validation_config", None)
    return {
        "type": "diffusion_trainer",
        "training_folder": str(run.folder),
        "sqlite_db_path": str(run.control),
        "device": job.device.partition(":")[0],
        "training_seed": run.seed,
        **tree,
        "datasets": list(datasets),
    }


def _spread(flat: Mapping[str, object]) -> dict[str, object]:
    """Settings whose value is a mapping as one setting for each of its keys, so that others can stand beside them."""
    found: dict[str, object] = {}
    for key, value in flat.items():
        if isinstance(value, Mapping):
            found |= _spread({f"{key}.{k}": v for k, v in value.items()})
        else:
            found[key] = value
    return found


def samples(job: Job, prompts: Sequence[Prompt]) -> list[dict[str, object]]:
    """One item for each prompt, with its own seed and all settings: AI-Toolkit hands a seed on to items without one."""
    shared = {SAMPLE_KEYS[k]: v for k, v in job.sample.items() if k in SAMPLE_KEYS}
    shared.setdefault("neg", "")
    items = []
    for prompt in prompts:
        item = {"prompt": drawable(prompt.text), "seed": prompt.seed, **shared}
        if prompt.negative:
            item["neg"] = prompt.negative
        items.append(item | _controls(job, prompt) | sampling("ai_toolkit", job.dataset.drawn.get(prompt.text, {})))
    return items


def drawable(text: str) -> str:
    """A prompt without `--`, behind which AI-Toolkit looks for options."""
    while "--" in text:
        text = text.replace("--", "–")
    return text


def _controls(job: Job, prompt: Prompt) -> dict[str, object]:
    """The control pictures a prompt of an edit model is drawn with."""
    if job.preset.media != "edit":
        return {}
    paths = [str(c.absolute()) for c in shown(job, prompt).controls[:3]]
    return {"ctrl_img": paths[0]} if len(paths) == 1 else {f"ctrl_img_{n}": p for n, p in enumerate(paths, 1)}


def _validation(job: Job, run: Run) -> dict[str, object]:
    """Held-out pictures, measured after the first update and the last one; {} where AI-Toolkit can measure none.

    It measures where the index of a step, counted from 0, divides by the interval: so does that of the last one. An
    edit model's pictures are left out: AI-Toolkit measures without the control pictures such a model needs.
    """
    last = run.until - 1
    pictures = [p for p in job.dataset.validation if p.path.suffix.lower() in _OPENED]
    if job.preset.media == "edit" or not pictures or last < 1:
        return {}
    return {
        "validate_every_n_steps": interval(last, job.validate_every or max(1, run.until // _VALIDATIONS)),
        "validation_items": [{"image_path": str(p.path.absolute()), "prompt": p.caption} for p in pictures],
    }


def beside(every: int, step: int) -> int:
    """The smallest interval from `every` on that doesn't fall on `step`: there a stopped run trains one step more."""
    every = max(1, every)
    while step and step % every == 0:
        every += 1
    return every


def dataset_entries(job: Job, settings: Mapping[str, object], sources: Sequence[Source]) -> list[dict[str, object]]:
    """The config's `datasets` of linked sources. What the dataset's own file says wins over the preset, and a knob over
    both; control pictures are for models that learn edits."""
    chosen = {k.removeprefix(DATASETS): v for k, v in settings.items() if k.startswith(DATASETS)}
    searched = searched_options(job)
    said = {k: v for k, v in job.dataset.options.items() if k not in searched}
    taken = {AI_TOOLKIT.get(k, k) for k in said}
    options = {**{k: v for k, v in chosen.items() if k not in taken}, **said}
    sources = without(sources, searched)
    if job.preset.media != "edit":
        sources = tuple(replace(s, controls=()) for s in without(sources, ("control_directory",)))
    return ai_toolkit_datasets(sources, options)


def searched_options(job: Job) -> set[str]:
    """Options of the dataset that knobs or an expert decide, by their house names and AI-Toolkit's own."""
    decided = {key.removeprefix(DATASETS) for key in _decided(job)}
    batch = {"batch_size"} if "train.batch_size" in decided else set()
    return {house for house, key in AI_TOOLKIT.items() if key in decided} | decided | batch


def _decided(job: Job) -> set[str]:
    """Settings that knobs or an expert set: those win over the dataset's own file."""
    meant = {key for knob in job.knobs for settings in knob.means.values() for key in settings}
    return meant | {t for knob in job.knobs for t in knob.targets} | set(additions(job.extra_args))
