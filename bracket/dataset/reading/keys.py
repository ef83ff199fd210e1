"""The words of the trainers' own dataset files: which key stands where, and what kind of value it takes.

From the voluptuous schemas of sd-scripts (library/config_util.py) and musubi-tuner (dataset/config_utils.py), and from
AI-Toolkit's DatasetConfig (toolkit/config_modules.py). The house's names of options are these very keys.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, get_args

Dialect = Literal["sd_scripts", "musubi", "ai_toolkit"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)
NAMES: Mapping[Dialect, str] = {"sd_scripts": "sd-scripts", "musubi": "musubi-tuner", "ai_toolkit": "AI-Toolkit"}

Kind = Literal["bool", "int", "float", "text", "size", "ints", "range", "table"]
"""size: a whole number or [width, height] in pixels; range: two numbers; table: a table of anything."""
Keys = dict[str, Kind]

SD_DATASET: Keys = {
    "batch_size": "int", "bucket_no_upscale": "bool", "bucket_reso_steps": "int", "enable_bucket": "bool",
    "max_bucket_reso": "int", "min_bucket_reso": "int", "network_multiplier": "float", "resolution": "size",
    "validation_seed": "int", "validation_split": "float",
}  # fmt: skip
"""May stand in [general] and [[datasets]]."""
SD_SUBSET: Keys = {
    "cache_info": "bool", "caption_dropout_every_n_epochs": "int", "caption_dropout_rate": "float",
    "caption_extension": "text", "caption_prefix": "text", "caption_separator": "text", "caption_suffix": "text",
    "caption_tag_dropout_rate": "float", "class_tokens": "text", "color_aug": "bool", "custom_attributes": "table",
    "enable_wildcard": "bool", "face_crop_aug_range": "range", "flip_aug": "bool", "keep_tokens": "int",
    "keep_tokens_separator": "text", "num_repeats": "int", "random_crop": "bool", "resize_interpolation": "text",
    "secondary_separator": "text", "shuffle_caption": "bool", "token_warmup_min": "int", "token_warmup_step": "float",
}  # fmt: skip
"""May stand in [general], [[datasets]] and [[datasets.subsets]]."""
SD_SUBSET_ONLY: Keys = {
    "alpha_mask": "bool", "conditioning_data_dir": "text", "image_dir": "text", "is_reg": "bool",
    "metadata_file": "text",
}  # fmt: skip
SD_OF_CAPTION_FILES = frozenset({"cache_info", "caption_extension", "class_tokens"})
"""Not for subsets whose captions stand in a metadata file."""

MUSUBI_GENERAL: Keys = {
    "batch_size": "int", "bucket_no_upscale": "bool", "caption_extension": "text", "enable_bucket": "bool",
    "num_repeats": "int", "resolution": "size",
}  # fmt: skip
"""May stand in [general] and [[datasets]]."""
_MUSUBI_BOTH: Keys = {"cache_directory": "text", "control_directory": "text", "fp_latent_window_size": "int"}
MUSUBI_IMAGE: Keys = {
    **_MUSUBI_BOTH, "control_resolution": "size", "fp_1f_clean_indices": "ints", "fp_1f_no_post": "bool",
    "fp_1f_target_index": "int", "image_directory": "text", "image_jsonl_file": "text", "multiple_target": "bool",
    "no_resize_control": "bool",
}  # fmt: skip
MUSUBI_VIDEO: Keys = {
    **_MUSUBI_BOTH, "frame_extraction": "text", "frame_sample": "int", "frame_stride": "int", "max_frames": "int",
    "source_fps": "float", "target_frames": "ints", "video_directory": "text", "video_jsonl_file": "text",
}  # fmt: skip
MUSUBI_OLD = {
    "flux_kontext_no_resize_control": "no_resize_control",
    "qwen_image_edit_no_resize_control": "no_resize_control",
    "qwen_image_edit_control_resolution": "control_resolution",
}
"""Former names that musubi-tuner still reads."""
FRAME_EXTRACTIONS = ("head", "chunk", "slide", "uniform", "full")

AI_TOOLKIT: Mapping[str, str] = {
    "alpha_mask": "alpha_mask", "batch_size": "batch_size", "caption_dropout_rate": "caption_dropout_rate",
    "caption_tag_dropout_rate": "token_dropout_rate", "enable_bucket": "buckets", "flip_aug": "flip_x",
    "keep_tokens": "keep_tokens", "random_crop": "random_crop", "resolution": "resolution",
    "shuffle_caption": "shuffle_tokens", "target_frames": "num_frames",
}  # fmt: skip
"""House option to AI-Toolkit's key of the same meaning."""
AI_TOOLKIT_OWN = frozenset({
    "audio_normalize", "audio_preserve_pitch", "auto_frame_count", "buckets", "cache_clip_vision_to_disk",
    "cache_latents", "cache_latents_to_disk", "cache_text_embeddings", "control_transparent_color", "do_audio",
    "do_i2v", "flip_x", "flip_y", "fps", "full_size_control_images", "invert_mask", "loss_multiplier", "mask_min_value",
    "mask_path", "network_weight", "num_frames", "num_workers", "prior_reg", "random_scale", "replacements",
    "shrink_video_to_frames", "shuffle_tokens", "square_crop", "token_dropout_rate", "trigger_word",
})  # fmt: skip
"""Keys that AI-Toolkit alone has; they may be given as options too and are passed on."""

NEWER = "newer"
"""The option that holds what a dataset file says in keys which the installed trainer knows and bracket doesn't:
`<dialect>.<table>` to the keys with their values, passed on as they are."""
OF_A_SOURCE = frozenset({
    "cache_directory", "control_directory", "dataset", "image_jsonl_file", "metadata_file", "multiple_target", NEWER,
    "video_jsonl_file",
})  # fmt: skip
"""Always kept with their source. `dataset` is the number of the [[datasets]] of a file that has several."""
OFF: Mapping[str, object] = {
    "caption_separator": ",", "frame_extraction": "head", "frame_sample": 1, "frame_stride": 1,
    "network_multiplier": 1.0, "token_warmup_min": 1,
}  # fmt: skip
"""Values that change nothing, besides false, 0 and the empty text."""


_SIDES = (64, 16384)
LIMITS: Mapping[str, tuple[float, float]] = {
    "batch_size": (1, 4096), "bucket_reso_steps": (1, 1024), "caption_dropout_every_n_epochs": (0, 1e6),
    "caption_dropout_rate": (0, 1), "caption_tag_dropout_rate": (0, 1), "control_resolution": _SIDES,
    "fp_1f_target_index": (0, 1e5), "fp_latent_window_size": (1, 1e4), "frame_sample": (1, 1e5),
    "frame_stride": (1, 1e5), "keep_tokens": (0, 1e4), "max_bucket_reso": _SIDES, "max_frames": (1, 1e6),
    "min_bucket_reso": (16, 16384), "network_multiplier": (-100, 100), "num_repeats": (1, 1e6), "resolution": _SIDES,
    "source_fps": (0.1, 1000), "target_frames": (1, 1e5), "token_warmup_min": (0, 1e4), "token_warmup_step": (0, 1e7),
    "validation_split": (0, 1),
}  # fmt: skip
"""The least and the most a number may be, each of them where there are several."""


def beyond(key: str, value: object) -> str:
    """What a value must be that is outside of its limits; "" for one that isn't."""
    low, high = LIMITS.get(key, (-math.inf, math.inf))
    numbers = value if isinstance(value, list) else [value]
    fine = all(low <= n <= high for n in numbers if isinstance(n, int | float) and not isinstance(n, bool))
    return "" if fine else f"from {low:g} to {high:g}"


def idle(key: str, value: object) -> bool:
    """Whether an option has the value it would have if nobody had set it, so that leaving it out loses nothing."""
    return not value or OFF.get(key) == value


def fits(kind: Kind, value: object) -> bool:
    """Whether a value is of a kind. A whole number is also a float; true and false are no numbers."""
    match kind:
        case "bool":
            return isinstance(value, bool)
        case "text":
            return isinstance(value, str)
        case "table":
            return isinstance(value, dict) and all(map(is_plain, value.values()))
        case "int":
            return _is_int(value)
        case "float":
            return _is_number(value)
        case "size":
            return _is_int(value) or (isinstance(value, list) and len(value) == 2 and all(map(_is_int, value)))
        case "ints":
            return isinstance(value, list) and all(map(_is_int, value))
        case "range":
            return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def as_kind(kind: Kind, value: object) -> object:
    """A fitting value as the trainers' checkers want it: numbers of a float kind are floats, pairs are lists."""
    if isinstance(value, tuple):
        value = list(value)
    if not fits(kind, value):
        return value
    if kind == "float":
        return float(str(value))
    if kind == "range" and isinstance(value, list):
        return [float(v) for v in value]
    return value


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def is_plain(value: object) -> bool:
    """Whether JSON and both TOML readers take it."""
    if isinstance(value, dict):
        return all(map(is_plain, value.values()))
    if isinstance(value, list):
        return not any(isinstance(v, dict) for v in value) and all(map(is_plain, value))
    return isinstance(value, str | bool) or _is_number(value)
