"""What keeps a vision-language model from working here, found from its files alone: no torch, no GPU time."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from typing import Any

from bracket.domain import Problem
from bracket.errors import BracketError, JudgeError
from bracket.files import given_path
from bracket.judges.base import JudgeSettings
from bracket.judges.embeddings.model import is_hub_id, snapshot
from bracket.reading import from_json, read_text
from bracket.runner.devices import Device, devices, memory_limit
from bracket.weights import identify, read_header

DEFAULT = "Qwen/Qwen3-VL-8B-Instruct"
_GB = 1e9
_WORK = 1.5
"""GB beside the weights: CUDA's own, and one question at a time."""
_LINEAR = {"8bit": 1.0, "4bit": 0.5625}
"""Bytes a weight of a linear layer: 4 bits, and a float32 scale for every 64."""
_BITS = {"8bit": "8-bit", "4bit": "4-bit"}
_METAL = 0.75
"""The share of its memory an Apple GPU may use."""
_VISION = re.compile(r"ForConditionalGeneration$|ForVision2Seq$|ForImageTextToText$")
_TAKE_ANOTHER = "Name a vision-language model, such as Qwen/Qwen3-VL-8B-Instruct."
_WHOLE = "Get the model whole."


def check_local(settings: JudgeSettings) -> list[Problem]:
    """What is wrong with the model, its device or its precision; an `info` when it must be downloaded first."""
    name = settings.model or DEFAULT
    device = find_device(settings.device)
    if device is None:
        known = ", ".join(d.id for d in devices())
        return [Problem("error", f"the judge's device {settings.device!r} isn't here", f"There is: {known}, cpu.")]
    folder, problems = _find(name)
    problems += _check_quantize(settings.quantize, device)
    if any(p.level == "error" for p in problems):
        return problems
    if folder is not None:
        config = read_config(folder)
        if "quantization_config" in config and settings.quantize:
            remedy = "Leave its quantisation empty."
            problems.append(Problem("error", "the judge's model is quantised already", remedy, folder))
        if "quantization_config" in config and device.kind != "cuda":
            remedy = "Name the model's unquantised sibling."
            problems.append(Problem("error", "the judge's model is quantised for NVIDIA GPUs", remedy, folder))
    return problems + _check_memory(name, folder, device, settings.quantize)


def find_device(wanted: str) -> Device | None:
    """The device of that id, the best there is for ""; None when it isn't here."""
    found = devices()
    if wanted == "cpu" and found[0].kind != "cpu":
        return Device("cpu", "cpu", "CPU", memory_limit())
    if wanted in ("", "cuda"):
        return found[0] if not wanted or found[0].kind == "cuda" else None
    return next((d for d in found if d.id == wanted), None)


def check_folder(folder: Path) -> list[Problem]:
    """What is wrong with a folder that should hold a vision-language model."""
    wrong = _wrong_kind(folder)
    if wrong:
        return [wrong]
    lacking = [
        names[0]
        for names in (
            ("tokenizer.json", "vocab.json", "tokenizer.model"),
            ("preprocessor_config.json", "processor_config.json"),
        )
        if not any((folder / name).is_file() for name in names)
    ]
    if lacking:
        return [Problem("error", f"the judge's model lacks {' and '.join(lacking)}", _WHOLE, folder)]
    return _check_weights(folder)


def read_config(folder: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises:
        JudgeError: it can't be read.
    """
    path = folder / "config.json"
    try:
        config = from_json(read_text(path))
    except (OSError, ValueError) as error:
        raise JudgeError("the judge's model has no readable config.json", path=path, remedy=_WHOLE) from error
    if not isinstance(config, dict):
        raise JudgeError("the config.json of the judge's model holds no settings", path=path, remedy=_WHOLE)
    return config


def architecture(config: dict[str, Any]) -> str:
    """The class a config names, "" when none."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, as the index lists them, whether or not they are there."""
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        if index.is_file():
            try:
                listed = from_json(read_text(index))["weight_map"].values()
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise JudgeError("the index of the weights is damaged", path=index, remedy=_WHOLE) from error
            return [folder / Path(str(file)).name for file in sorted(set(map(str, listed)))]
    return []


def memory_needed(folder: Path, device: Device, quantize: str) -> float:
    """GB that the model takes on the device, from the headers of its weights."""
    plain = 4 if device.kind == "cpu" else 2
    total = 0.0
    quantised = "quantization_config" in read_config(folder)
    for path in weight_files(folder):
        if quantised or path.suffix != ".safetensors":
            total += path.stat().st_size
            continue
        for name, shape in read_header(path).tensors.items():
            linear = len(shape) == 2 and not re.search(r"embed|lm_head", name)
            total += math.prod(shape) * (_LINEAR[quantize] if quantize and linear else plain)
    return total / _GB + _WORK


def _find(name: str) -> tuple[Path | None, list[Problem]]:
    """(the model's folder where it is here, what is wrong with it)."""
    if is_hub_id(name):
        folder = snapshot(name, check_folder)
        return folder, [] if folder else [_not_here(name)]
    folder = given_path(name)
    if folder.is_file():
        return None, [_is_a_file(folder)]
    if not folder.is_dir():
        remedy = f"Name the folder of a vision-language model, or its hub id such as {DEFAULT}."
        return None, [Problem("error", "the judge's model folder is missing", remedy, folder)]
    problems = check_folder(folder)
    return (None if problems else folder), problems


def _not_here(name: str) -> Problem:
    from huggingface_hub import constants

    billions = _billions(name)
    size = f" (about {billions * 2.2:.0f} GB)" if billions else ""
    if constants.HF_HUB_OFFLINE:
        remedy = "Unset HF_HUB_OFFLINE once, or name a folder that holds the model."
        return Problem("error", f"the judge's model {name} isn't on this machine, and downloads are off", remedy)
    return Problem("info", f"the judge's model {name}{size} will be downloaded when it is first used")


def _billions(name: str) -> float:
    """Billions of parameters that a name tells ("Qwen3-VL-8B-Instruct"), 0 when it doesn't."""
    found = re.search(r"(?<![A-Za-z0-9.])(\d+(?:\.\d+)?)B\b", name)
    return float(found[1]) if found else 0.0


def _is_a_file(path: Path) -> Problem:
    if path.suffix.lower() == ".gguf":
        remedy = "Serve it with LM Studio or llama.cpp and choose the judge openai_api, or name a model folder."
        return Problem("error", "the judge's model is a GGUF file, which this judge can't run", remedy, path)
    title = _title(path)
    what = f"the judge's model is one file ({title}), not a model folder" if title else "the judge's model is a file"
    return Problem("error", what, _TAKE_ANOTHER, path)


def _wrong_kind(folder: Path) -> Problem | None:
    """Why the folder holds no vision-language model, as far as config.json and headers tell."""
    if (folder / "model_index.json").is_file():
        what = _title(folder) or "a diffusion pipeline"
        return Problem(
            "error", f"the judge's model is {what}: it draws, it can't answer questions", _TAKE_ANOTHER, folder
        )
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            return Problem("error", "the judge's model is a LoRA, which needs its base", _TAKE_ANOTHER, folder)
        title = _title(folder)
        what = (
            f"the judge's model is {title}, no vision-language model"
            if title
            else "the judge's model has no config.json"
        )
        return Problem("error", what, _TAKE_ANOTHER, folder)
    try:
        config = read_config(folder)
    except JudgeError as error:
        return Problem("error", error.message, error.remedy, folder / "config.json")
    kind, name = str(config.get("model_type", "")), architecture(config)
    if _VISION.search(name) and _sees(config):
        return None
    return Problem("error", f"the judge's model is {_described(config, kind, name, folder)}", _TAKE_ANOTHER, folder)


def _sees(config: dict[str, Any]) -> bool:
    return any("vision" in key or key.startswith(("image_token", "visual", "mm_")) for key in config)


def _described(config: dict[str, Any], kind: str, name: str, folder: Path) -> str:
    if kind.startswith(("clip", "siglip", "chinese_clip", "align")):
        return f"a CLIP-like model ({kind}): it compares pictures with texts, it can't answer questions"
    if "_class_name" in config:
        return f"{_title(folder) or config['_class_name']}, a part of a diffusion model: it can't answer questions"
    if name.endswith("ForCausalLM") or (_VISION.search(name) and not _sees(config)):
        return f"a text model ({name}): it can't see pictures"
    return f"of type {kind or name or 'unknown'!r}, no vision-language model"


def _title(path: Path) -> str:
    try:
        found = identify(path)
    except BracketError:
        return ""
    return found.title if found else ""


def _check_weights(folder: Path) -> list[Problem]:
    try:
        files = weight_files(folder)
    except JudgeError as error:
        return [Problem("error", error.message, error.remedy, Path(str(error.path)))]
    if not files:
        return [Problem("error", "the judge's model has no weights (model.safetensors)", _WHOLE, folder)]
    missing = [f for f in files if not f.is_file()]
    if missing:
        what = f"the judge's model lacks {len(missing)} of its {len(files)} weight files"
        return [Problem("error", what, "Download the missing ones.", missing[0])]
    for file in files:
        if file.suffix != ".safetensors":
            continue
        try:
            read_header(file)
        except BracketError as error:
            what = f"the weights of the judge's model are damaged: {error.message}"
            return [Problem("error", what, error.remedy, file)]
    return []


def _check_quantize(quantize: str, device: Device) -> list[Problem]:
    if not quantize:
        return []
    bits = _BITS[quantize]
    if device.kind != "cuda":
        remedy = "Leave the quantisation empty, or name a smaller model."
        return [Problem("error", f"{bits} weights need an NVIDIA GPU, and the judge runs on {device.id}", remedy)]
    if importlib.util.find_spec("bitsandbytes") is None:
        return [Problem("error", f"{bits} weights need the package bitsandbytes", "pip install bitsandbytes")]
    return []


def _check_memory(name: str, folder: Path | None, device: Device, quantize: str) -> list[Problem]:
    plain = 4 if device.kind == "cpu" else 2
    if folder is not None:
        needed = memory_needed(folder, device, quantize)
    else:
        needed = _billions(name) * 1.1 * _LINEAR.get(quantize, plain) + _WORK
    room = device.memory / _GB * (_METAL if device.kind == "mps" else 1)
    if room and needed > room:
        precision = _BITS.get(quantize) or ("float32" if plain == 4 else "bfloat16")
        what = f"the judge's model needs about {needed:.0f} GB in {precision}, and {device.name} has {room:.0f} GB"
        smaller = "" if quantize == "4bit" or device.kind != "cuda" else "Quantise it to 4 bits, or name"
        # Without its files the need is read from the name, which may mislead.
        return [Problem("error" if folder else "warning", what, f"{smaller or 'Name'} a smaller model.")]
    if device.kind == "cpu" and needed > 4 + _WORK:
        what = "the judge's model will run on the CPU, which takes minutes a question"
        return [Problem("warning", what, "Name a smaller model, or choose the judge clip.")]
    return []
