"""A dataset in each trainer's own words.

Options have house names. What a source says itself wins over the dataset's options, as in the trainers' files; take a
key out of the sources (`without`) for an option to count. What a trainer has no word for is left out here and told by
`untold`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bracket.dataset.reading.keys import (
    AI_TOOLKIT,
    AI_TOOLKIT_OWN,
    MUSUBI_GENERAL,
    MUSUBI_IMAGE,
    MUSUBI_VIDEO,
    NAMES,
    NEWER,
    OF_A_SOURCE,
    SD_DATASET,
    SD_OF_CAPTION_FILES,
    SD_SUBSET,
    SD_SUBSET_ONLY,
    Dialect,
    Keys,
    as_kind,
    idle,
)
from bracket.dataset.writing.toml_text import to_toml
from bracket.domain import Problem, Source
from bracket.errors import DatasetError

_NOISE = (
    "caption_dropout_rate", "caption_tag_dropout_rate", "caption_dropout_every_n_epochs", "color_aug",
    "enable_wildcard", "flip_aug", "random_crop", "shuffle_caption", "token_warmup_step",
)  # fmt: skip
"""sd-scripts' options that draw lots; off where a loss is measured."""
_SD_BUCKETS = (256, 1024)
"""The shortest and longest side of sd-scripts' buckets where nothing is said."""
_JSONL = ("image_jsonl_file", "video_jsonl_file")
_LISTS = (*_JSONL, "metadata_file")
_TECHNICAL = frozenset({"cache_info", "validation_seed", "validation_split"})
"""Left out without a word: training is the same without them, and pictures are held out by the split."""
_MOST_CONTROLS: Mapping[Dialect, int] = {"sd_scripts": 1, "musubi": 1, "ai_toolkit": 3}
_NOT_LATENTS = frozenset({"batch_size", "cache_directory", "caption_extension", "num_repeats"})
"""Keys of a musubi dataset that leave its caches as they are."""


def without(sources: Sequence[Source], keys: Collection[str]) -> tuple[Source, ...]:
    """The sources without options of their own of these names."""
    return tuple(replace(s, options={k: v for k, v in s.options.items() if k not in keys}) for s in sources)


def sd_scripts_toml(
    sources: Sequence[Source], options: Mapping[str, object], *, validation: Sequence[Source] = ()
) -> str:
    """The `--dataset_config` of sd-scripts.

    Where buckets are enabled and the resolution lies outside their limits, these are written as wide as it.

    Args:
        validation: sources whose every picture makes the validation loss and none is trained on. They stand in datasets
            of their own with `validation_split = 1.0`: train_util.split_train_val gives such a dataset ceil(n × 0) = 0
            pictures to train on and all n to validate on. Drop-outs and augmentations are off there, controls are
            not written (sd-scripts never splits datasets of pairs), regularisation sources and `validation_split` of
            the options are left out.

    Raises:
        DatasetError: a source of clips, which sd-scripts can't train on, a source that is a list of files (link its
            pictures first), or a value that TOML can't say.
    """
    _refuse_clips(sources)
    _refuse_lists("sd_scripts", sources, _JSONL)
    _refuse_lists("sd_scripts", validation, _LISTS)
    validation = [s for s in validation if not s.regularisation]
    shared = dict(options)
    if validation:
        sources = without(sources, ("validation_split", "validation_seed"))
        shared = {k: v for k, v in shared.items() if k not in ("validation_split", "validation_seed")}
    # One may not stand in [general], the other could not be taken back for the validation.
    wide: dict[str, object] = {k: shared.pop(k) for k in ("alpha_mask", "face_crop_aug_range") if k in shared}
    datasets = [_sd_dataset(group, wide, _bucket_limits(group[0], shared)) for group in _sd_groups(sources)]
    wide.pop("face_crop_aug_range", None)
    for group in _sd_groups([_quiet(s, shared) for s in validation]):
        datasets.append(_sd_dataset(group, wide, {**_bucket_limits(group[0], shared), "validation_split": 1.0}))
    return _document(_only(shared, SD_DATASET | SD_SUBSET), datasets)


def _bucket_limits(source: Source, shared: Mapping[str, object]) -> dict[str, object]:
    """Limits as wide as the resolution where they are not: sd-scripts refuses buckets that exclude it."""
    said = {**shared, **source.options}
    match said.get("resolution"):
        case [int(width), int(height)] if said.get("enable_bucket"):
            sides = [width, height]
        case int(side) if said.get("enable_bucket"):
            sides = [side]
        case _:
            return {}
    low, high = said.get("min_bucket_reso", _SD_BUCKETS[0]), said.get("max_bucket_reso", _SD_BUCKETS[1])
    limits: dict[str, object] = {}
    if isinstance(low, int) and low > min(sides):
        limits["min_bucket_reso"] = min(sides)
    if isinstance(high, int) and high < max(sides):
        limits["max_bucket_reso"] = max(sides)
    return limits


def _quiet(source: Source, shared: Mapping[str, object]) -> Source:
    """A source as it is measured: once, as it is."""
    off = {k: type(v)() for k, v in {**shared, **source.options}.items() if k in _NOISE and v}
    left_out = ("face_crop_aug_range", "validation_seed", "validation_split")
    own = {k: v for k, v in source.options.items() if k not in left_out}
    return replace(source, repeats=1, controls=(), options={**own, **off})


def _sd_groups(sources: Sequence[Source]) -> list[list[Source]]:
    """Sources of one [[datasets]]: same number in their file, same dataset options, same style of subset."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        own = {**_only(source.options, SD_DATASET), **_newer(source, "sd_scripts.dataset")}
        style = bool(source.controls), "metadata_file" in source.options
        key = json.dumps([source.options.get("dataset"), own, style], sort_keys=True)
        groups.setdefault(key, []).append(source)
    return list(groups.values())


def _sd_dataset(group: Sequence[Source], wide: Mapping[str, object], more: Mapping[str, object]) -> dict[str, object]:
    return {
        **_only(group[0].options, SD_DATASET),
        **_newer(group[0], "sd_scripts.dataset"),
        **more,
        "subsets": [_sd_subset(s, wide) for s in group],
    }


def _sd_subset(source: Source, wide: Mapping[str, object]) -> dict[str, object]:
    own = _only({**wide, **source.options}, SD_SUBSET | SD_SUBSET_ONLY) | _newer(source, "sd_scripts.subset")
    said: dict[str, object] = {"image_dir": str(source.folder), "num_repeats": source.repeats}
    if "metadata_file" in own:
        return said | {k: v for k, v in own.items() if k not in SD_OF_CAPTION_FILES}
    said["caption_extension"] = source.caption_suffix
    if source.controls:
        said["conditioning_data_dir"] = str(source.controls[0])
        return said | {k: v for k, v in own.items() if k != "alpha_mask"}
    if source.class_words:
        said["class_tokens"] = source.class_words
    if source.regularisation:
        said["is_reg"] = True
    return said | own


def musubi_toml(sources: Sequence[Source], options: Mapping[str, object], cache: Path) -> str:
    """The `--dataset_config` of musubi-tuner, for its cache scripts and for training.

    Each dataset gets a folder of its own under `cache` (whatever `cache_directory` a file gave), named after the source
    and everything its latents depend on: another resolution gets another folder, another batch size the same.

    Raises:
        DatasetError: a source with sd-scripts' metadata file (link its pictures first), or a value TOML can't say.
    """
    _refuse_lists("musubi", sources, ("metadata_file",))
    datasets: list[Mapping[str, object]] = []
    taken: set[str] = set()
    general = _only(options, MUSUBI_GENERAL)
    for source in sources:
        if source.regularisation:  # musubi-tuner would train on them like on the others
            continue
        said = _musubi_dataset(source, options)
        name = _cache_name(source, {**general, **said})
        while name in taken:
            name += "+"
        taken.add(name)
        datasets.append({**said, "cache_directory": str(cache / name)})
    return _document(general, datasets)


def _musubi_dataset(source: Source, options: Mapping[str, object]) -> dict[str, object]:
    own = MUSUBI_VIDEO if source.media == "video" else MUSUBI_IMAGE
    listed = next((k for k in _JSONL if k in source.options), "")
    said: dict[str, object] = {}
    if not listed:
        said[f"{source.media}_directory"] = str(source.folder)
        said["caption_extension"] = source.caption_suffix
        if source.controls:
            said["control_directory"] = str(source.controls[0])
    said["num_repeats"] = source.repeats
    said |= _only({k: v for k, v in options.items() if k not in MUSUBI_GENERAL}, own)
    said |= _only(source.options, MUSUBI_GENERAL | own)
    return said | _newer(source, "musubi.dataset")


def _cache_name(source: Source, said: Mapping[str, object]) -> str:
    """Folder name of a source's caches: readable, and different for all that makes other latents."""
    matters = {k: v for k, v in said.items() if k not in _NOT_LATENTS}
    digest = hashlib.sha256(json.dumps(matters, sort_keys=True).encode()).hexdigest()[:12]
    return f"{folder_name(source)}-{digest}"


def folder_name(source: Source) -> str:
    """The name of a source's folder without the signs that trainers' patterns and configs would take for their own."""
    return "".join("_" if c in "[]{}$*?%~" else c for c in source.folder.name).strip(". ")[:80] or "pictures"


def ai_toolkit_datasets(sources: Sequence[Source], options: Mapping[str, object]) -> list[dict[str, object]]:
    """The `datasets` of AI-Toolkit's config, for one process.

    A clip source with several `target_frames` becomes one dataset for each. [width, height] becomes the side of the
    square of that area: AI-Toolkit's buckets keep to the area. The batch size is `train.batch_size` there; a dataset
    gets its own only where a source gave one. AI-Toolkit's own keys may stand among the options and are passed on.

    Raises:
        DatasetError: a source that is a list of files (link its pictures first), or clips without `target_frames`.
    """
    _refuse_lists("ai_toolkit", sources, _LISTS)
    found = []
    for source in sources:
        base = _ai_toolkit_dataset(source, options)
        if source.media == "image":
            found.append(base)
            continue
        counts = _frame_counts({**options, **source.options})
        if not counts:
            raise DatasetError(_NO_FRAMES, path=source.folder, remedy=_GIVE_FRAMES)
        found += [{**base, "num_frames": n} for n in counts]
    return found


_NO_FRAMES = "AI-Toolkit can't train on clips without a number of frames"
_GIVE_FRAMES = "Give target_frames, such as [81]."


def _ai_toolkit_dataset(source: Source, options: Mapping[str, object]) -> dict[str, object]:
    said: dict[str, object] = {
        "folder_path": str(source.folder),
        "caption_ext": source.caption_suffix,
        "num_repeats": source.repeats,
    }
    if source.class_words:
        said["default_caption"] = source.class_words
    if source.regularisation:
        said["is_reg"] = True
    if len(source.controls) == 1:
        said["control_path"] = str(source.controls[0])
    else:
        said |= {f"control_path_{k}": str(c) for k, c in enumerate(source.controls[:3], 1)}
    shared = {k: v for k, v in options.items() if k != "batch_size"}
    for key, value in {**shared, **source.options}.items():
        if key == "resolution":
            said[key] = _side(value)
        elif key in AI_TOOLKIT and key != "target_frames":
            said[AI_TOOLKIT[key]] = value
        elif key in AI_TOOLKIT_OWN and key != "num_frames":
            said[key] = value
    return said


def _side(resolution: object) -> object:
    """Pixels. A list of two is [width, height], one of another length AI-Toolkit's own: a dataset for each."""
    match resolution:
        case [int(width), int(height)]:
            return round(math.sqrt(width * height))
        case tuple():
            return list(resolution)
    return resolution


def _frame_counts(said: Mapping[str, object]) -> list[int]:
    """How long the pieces of a clip are. AI-Toolkit looks for pictures, not clips, where it is told of one frame."""
    given = said.get("num_frames", said.get("target_frames"))
    counts = given if isinstance(given, list | tuple) else [given]
    return sorted({n for n in counts if isinstance(n, int) and n > 1})


def _newer(source: Source, table: str) -> dict[str, object]:
    """What the dataset file said in keys that only the installed trainer knows."""
    tables = source.options.get(NEWER)
    return dict(tables.get(table, {})) if isinstance(tables, dict) else {}


def overruled(sources: Sequence[Source], options: Mapping[str, object], decided: Collection[str]) -> list[Problem]:
    """What the dataset's own file says and the search, or an expert's argument, decides instead."""
    said = {k: v for held in (*(s.options for s in sources), options) for k, v in held.items() if k in decided}
    words = ", ".join(f"{key} = {value!r}" for key, value in sorted(said.items()))
    message = f"The search decides what the dataset file says too: {words} is not used"
    return [Problem("warning", message, "Take it out of the file, or fix the knob.")] if said else []


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _refuse_clips(sources: Sequence[Source]) -> None:
    for source in sources:
        if source.media == "video":
            raise DatasetError("sd-scripts can't train on clips", path=source.folder, remedy="Choose another trainer.")


def _refuse_lists(dialect: Dialect, sources: Sequence[Source], keys: Collection[str]) -> None:
    for source in sources:
        for key in keys:
            if key in source.options:
                message = f"A source given by {key} can't be written for {NAMES[dialect]}"
                raise DatasetError(message, path=str(source.options[key]), remedy="Link its pictures first.")


def untold(dialect: Dialect, sources: Sequence[Source], options: Mapping[str, object]) -> list[Problem]:
    """What this trainer can't be told of a dataset, one finding for each thing; [] when nothing is lost.

    Options that are off anyway are not worth a word. An error is what keeps the trainer from training at all.
    """
    found = [_no_word(dialect, k, v) for k, v in options.items() if _lost(dialect, k, v, {s.media for s in sources})]
    for source in sources:
        found += [
            replace(_no_word(dialect, k, v), path=source.folder)
            for k, v in source.options.items()
            if _lost(dialect, k, v, {source.media})
        ]
        found += _source_problems(dialect, source, {**options, **source.options})
    return found


def _lost(dialect: Dialect, key: str, value: object, media: Collection[str]) -> bool:
    if key in _TECHNICAL or (key in OF_A_SOURCE and key != "multiple_target") or idle(key, value):
        return False
    match dialect:
        case "sd_scripts":
            return key not in SD_DATASET and key not in SD_SUBSET and key not in SD_SUBSET_ONLY
        case "musubi":
            known = {*MUSUBI_GENERAL, *(MUSUBI_IMAGE if "image" in media else ())}
            return key not in known | {*(MUSUBI_VIDEO if "video" in media else ())}
        case "ai_toolkit":
            return key not in AI_TOOLKIT and key not in AI_TOOLKIT_OWN


def _no_word(dialect: Dialect, key: str, value: object) -> Problem:
    message = f"{NAMES[dialect]} has no setting like {key} of this dataset ({value!r}); it trains without"
    return Problem("warning", message, f"Take {key} out, or choose another trainer.")


def _source_problems(dialect: Dialect, source: Source, said: Mapping[str, object]) -> list[Problem]:
    tables = source.options.get(NEWER)
    others = tables.items() if isinstance(tables, dict) else ()
    lost = {k: v for table, kept in others if not table.startswith(f"{dialect}.") for k, v in kept.items()}
    found = [replace(_no_word(dialect, k, v), path=source.folder) for k, v in lost.items()]
    most = _MOST_CONTROLS[dialect]
    if len(source.controls) > most and "control_directory" not in source.options:
        message = f"{NAMES[dialect]} takes {most} control folder{'s' if most > 1 else ''} and this has "
        found.append(Problem("warning", f"{message}{len(source.controls)}; the rest is left out", "", source.folder))
    if dialect == "sd_scripts" and source.media == "video":
        found.append(Problem("error", "sd-scripts can't train on clips", "Choose another trainer.", source.folder))
    if dialect == "sd_scripts" and source.controls and source.regularisation:
        message = "sd-scripts takes no regularisation pictures with controls and trains on these like on the others"
        found.append(Problem("warning", message, "Take this source out.", source.folder))
    if dialect == "musubi" and source.regularisation:
        message = "musubi-tuner knows no regularisation pictures; these are not used"
        found.append(Problem("warning", message, "Choose another trainer's preset to use them.", source.folder))
    if dialect == "ai_toolkit" and source.media == "video" and not _frame_counts(said):
        found.append(Problem("error", _NO_FRAMES, _GIVE_FRAMES, source.folder))
    elif dialect == "ai_toolkit" and source.media == "video" and 1 in _listed(said.get("target_frames")):
        message = "AI-Toolkit takes no single frames from clips; only the longer target_frames are trained on"
        found.append(Problem("warning", message, "", source.folder))
    match said.get("resolution"):
        case [int(width), int(height)] if dialect == "ai_toolkit" and width != height:
            side = _side([width, height])
            message = f"AI-Toolkit trains on areas, so {width} × {height} becomes buckets of about {side} × {side}"
            found.append(Problem("info", message, "", source.folder))
    return found


def _only(options: Mapping[str, object], keys: Keys) -> dict[str, object]:
    """Those options that have a word among `keys`, in its kind; None counts as not given."""
    return {k: as_kind(keys[k], v) for k, v in options.items() if k in keys and v is not None}


def _document(general: Mapping[str, object], datasets: Sequence[Mapping[str, object]]) -> str:
    try:
        return to_toml({"general": general, "datasets": list(datasets)})
    except ValueError as error:
        remedy = "Rename the file or folder, or correct the option."
        raise DatasetError(f"This dataset can't be written for the trainer: {error}", remedy=remedy) from error
