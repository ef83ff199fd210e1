"""The dataset files of kohya's trainers, read as strictly as they read them, and the caches made from them.

Keys from their schemas (library/config_util.py of sd-scripts, dataset/config_utils.py of musubi-tuner), cache names
from recorded runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
_SD_DATASET = {
    "batch_size", "bucket_no_upscale", "bucket_reso_steps", "enable_bucket", "max_bucket_reso", "min_bucket_reso",
    "network_multiplier", "resize_interpolation", "resolution", "validation_seed", "validation_split",
}  # fmt: skip
_SD_SUBSET = {
    "cache_info", "caption_dropout_every_n_epochs", "caption_dropout_rate", "caption_extension", "caption_prefix",
    "caption_separator", "caption_suffix", "caption_tag_dropout_rate", "class_tokens", "color_aug",
    "custom_attributes", "enable_wildcard", "face_crop_aug_range", "flip_aug", "keep_tokens",
    "keep_tokens_separator", "num_repeats", "random_crop", "resize_interpolation", "secondary_separator",
    "shuffle_caption", "token_warmup_min", "token_warmup_step",
}  # fmt: skip
_SD_ONLY = {"alpha_mask", "conditioning_data_dir", "image_dir", "is_reg", "metadata_file"}
_MUSUBI_GENERAL = {
    "batch_size", "bucket_no_upscale", "caption_extension", "enable_bucket", "num_repeats", "resolution",
}  # fmt: skip
_MUSUBI_DATASET = _MUSUBI_GENERAL | {
    "cache_directory", "control_directory", "control_resolution", "fp_1f_clean_indices", "fp_1f_no_post",
    "fp_1f_target_index", "fp_latent_window_size", "image_directory", "image_jsonl_file", "multiple_target",
    "no_resize_control",
}  # fmt: skip


class MultipleInvalid(Exception):
    """voluptuous' error."""


@dataclass(frozen=True)
class Item:
    path: Path
    caption: str
    repeats: int
    size: tuple[int, int]


@dataclass
class Dataset:
    """Pictures that share batches.

    Attributes:
        said: the settings of the dataset and its subsets, without the folders.
    """

    items: list[Item] = field(default_factory=list)
    batch_size: int = 1
    said: list[Mapping[str, Any]] = field(default_factory=list)


def sd_datasets(text: Mapping[str, Any]) -> tuple[list[Dataset], list[Dataset]]:
    """sd-scripts' datasets to train on, and to validate on (those with a validation_split of 1)."""
    _only(text, {"general", "datasets"}, "data")
    general = text.get("general", {})
    _only(general, _SD_DATASET | _SD_SUBSET, "data['general']")
    train: list[Dataset] = []
    held: list[Dataset] = []
    for number, raw in enumerate(text["datasets"]):
        place = f"data['datasets'][{number}]"
        _only(raw, _SD_DATASET | _SD_SUBSET | {"subsets"}, place)
        dataset = Dataset()
        for part, subset in enumerate(raw["subsets"]):
            _only(subset, _SD_DATASET | _SD_SUBSET | _SD_ONLY, f"{place}['subsets'][{part}]")
            said = {**general, **{k: v for k, v in raw.items() if k != "subsets"}, **subset}
            dataset.batch_size = said.get("batch_size", 1)
            folder = Path(said.pop("image_dir"))
            dataset.said.append(said)
            if folder.is_dir():
                dataset.items += _pictures(
                    folder, said.get("caption_extension", ".caption"), said.get("num_repeats", 1)
                )
        (held if dataset.said and dataset.said[0].get("validation_split") == 1 else train).append(dataset)
    return train, held


def musubi_items(text: Mapping[str, Any]) -> list[Dataset]:
    """musubi's datasets: what lies in the cache folders and nothing else."""
    datasets = []
    for raw in _musubi(text):
        cache = Path(raw.pop("cache_directory"))
        raw.pop("image_directory", None)
        dataset = Dataset(batch_size=raw.get("batch_size", 1), said=[raw])
        for latents in sorted(cache.glob("*_zi.safetensors")):
            stem = latents.name.rsplit("_", 2)[0]
            if (cache / f"{stem}_zi_te.safetensors").is_file():  # else skipped with a warning
                caption = (cache / f"{stem}_zi_te.safetensors").read_text("utf-8")
                dataset.items.append(Item(latents, caption, raw.get("num_repeats", 1), (0, 0)))
        datasets.append(dataset)
    return datasets


def cache_latents(config: Path) -> None:
    """musubi's `*_cache_latents.py`: overwrites what is there, removes what no longer belongs."""
    for cache, items in _musubi_pictures(config):
        made = {cache / f"{i.path.stem}_{i.size[0]:04d}x{i.size[1]:04d}_zi.safetensors": b"latents" for i in items}
        _replace(cache, "*_zi.safetensors", made)


def cache_texts(config: Path) -> None:
    """musubi's `*_cache_text_encoder_outputs.py`."""
    for cache, items in _musubi_pictures(config):
        made = {cache / f"{i.path.stem}_zi_te.safetensors": i.caption.encode() for i in items}
        _replace(cache, "*_zi_te.safetensors", made)


def _replace(cache: Path, pattern: str, made: Mapping[Path, bytes]) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    for stale in set(cache.glob(pattern)) - made.keys():
        stale.unlink()
    for path, data in made.items():
        path.write_bytes(data)


def _musubi_pictures(config: Path) -> Iterator[tuple[Path, list[Item]]]:
    import tomllib

    for raw in _musubi(tomllib.loads(config.read_text("utf-8"))):
        folder = Path(raw["image_directory"])
        yield Path(raw["cache_directory"]), _pictures(folder, raw["caption_extension"], 1)


def _musubi(text: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The datasets of a file with what [general] says."""
    _only(text, {"general", "datasets"}, "data")
    general = text.get("general", {})
    _only(general, _MUSUBI_GENERAL, "data['general']")
    caches = [raw.get("cache_directory") for raw in text["datasets"]]
    if len(set(caches)) < len(caches):
        raise ValueError("cache directory should be unique for each dataset")
    for number, raw in enumerate(text["datasets"]):
        _only(raw, _MUSUBI_DATASET, f"data['datasets'][{number}]")
    return [{**general, **raw} for raw in text["datasets"]]


def _pictures(folder: Path, caption_extension: str, repeats: int) -> list[Item]:
    from PIL import Image

    found = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES):
        with Image.open(path) as picture:
            size = picture.size
        said = path.with_suffix(caption_extension)
        found.append(Item(path, said.read_text("utf-8").strip() if said.is_file() else "", repeats, size))
    return found


def _only(said: Mapping[str, Any], known: set[str], place: str) -> None:
    for key in said:
        if key not in known:
            raise MultipleInvalid(f"extra keys not allowed @ {place}['{key}']")
