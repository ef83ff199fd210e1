"""Whether a weight is all there: finished downloads, every file of a set, and a kind that trainers load."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bracket.errors import StorageError
from bracket.files import read_json, storage_errors
from bracket.weights.header import read_header, read_set, refuse_impostor

PARTIAL = (".incomplete", ".part", ".partial", ".aria2", ".crdownload", ".download", ".opdownload", ".!qB", ".tmp")
SAFETENSORS = (".safetensors", ".sft")
_PICKLED = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_TOO = frozenset({
    "sd15", "sd2", "sdxl", "hunyuanvideo", "vae-hunyuanvideo", "vae-wan2.1", "umt5-xxl", "clip-xlm-roberta",
})  # fmt: skip
"""Kinds that the trainers' own loaders take as a pickle of PyTorch too."""
_OTHERS = {
    ".gguf": ("This is a GGUF file, made for drawing only", "Get the .safetensors file of the same model."),
    ".onnx": ("This is an ONNX file, made for drawing only", "Get the .safetensors file of the same model."),
    **dict.fromkeys((".zip", ".7z", ".rar", ".gz", ".tar"), ("This is an archive", "Unpack it first.")),
    **dict.fromkeys((".json", ".txt", ".yaml", ".md"), ("This is a text file, not weights", "Choose the weights.")),
}
_WEIGHTLESS = ("scheduler", "tokenizer", "processor", "feature", "safety")
_FINISH = "Finish the download, or begin it again."
_MOST_LOOKED_AT = 5000


def check_whole(path: Path, kinds: tuple[str, ...] = ()) -> None:
    """Refuses a weight that can't be loaded: unfinished, a shard missing, no weights in it, or of another format.

    Args:
        kinds: what it may be, as presets name it.

    Raises:
        StorageError: with what to do.
    """
    with storage_errors(path):
        path.stat()
        if path.is_dir():
            _check_folder(path)
        elif path.is_file():
            _check_file(path, kinds)
        else:
            raise StorageError("This is no file", path=path, remedy="Choose the weights' own file.")


def remains(path: Path) -> Path | None:
    """What a download that isn't finished left beside where the file should be."""
    beside = (path.with_name(path.name + end) for end in PARTIAL)
    return next((p for p in beside if os.path.lexists(p)), None)


def _check_file(path: Path, kinds: tuple[str, ...]) -> None:
    suffix = path.suffix.lower()
    if suffix in (*PARTIAL, ".!qb"):
        raise StorageError("This download isn't finished", path=path, remedy=f"{_FINISH} Its name then ends otherwise.")
    if part := remains(path):
        remedy = f"{_FINISH} If the file is whole, remove {part.name}."
        raise StorageError(f"This download isn't finished: {part.name} lies beside it", path=path, remedy=remedy)
    if suffix in _OTHERS:
        message, remedy = _OTHERS[suffix]
        raise StorageError(message, path=path, remedy=remedy)
    if suffix in SAFETENSORS:
        read_set(path)
        return
    pickled = not kinds or bool(_TOO.intersection(kinds))
    refuse_impostor(path, pickled or suffix in _PICKLED)
    if suffix in _PICKLED and not pickled:
        remedy = "Get its .safetensors file, or convert it."
        raise StorageError(
            "This is a pickle of PyTorch, and the trainer takes safetensors here", path=path, remedy=remedy
        )


def _check_folder(folder: Path) -> None:
    index = folder / "model_index.json"
    if index.is_file():
        for name in _components(index):
            if not (folder / name).is_dir():
                raise _incomplete(f"The folder has no {name}, which its model_index.json names", folder)
            if (folder / name / "config.json").is_file() or not any((folder / name).iterdir()):
                _check_weights(folder / name)
    elif (folder / "config.json").is_file() or any(_weight_files(folder)) or any(folder.glob("*.index.json")):
        _check_weights(folder)
    elif found := next(_partial(folder), None):
        raise _incomplete(f"This download isn't finished: {found.name}", folder)


def _components(index: Path) -> Iterator[str]:
    """The folders of a diffusers pipeline that hold weights."""
    parts = read_json(index)
    for name, kind in parts.items() if isinstance(parts, dict) else ():
        plain = str(name).lower()
        listed = isinstance(kind, list) and len(kind) == 2 and all(isinstance(k, str) for k in kind)
        if listed and "/" not in plain and not any(word in f"{plain} {kind[1].lower()}" for word in _WEIGHTLESS):
            yield str(name)


def _check_weights(folder: Path) -> None:
    """One file, or one whole set of files, must be there; every safetensors file of it must be whole."""
    lacking: list[str] = []
    for index in sorted(folder.glob("*.index.json")):
        named = read_json(index)
        shards = sorted(set(map(str, named.get("weight_map", {}).values()))) if isinstance(named, dict) else []
        gone = [s for s in shards if not (folder / s).is_file()]
        if shards and not gone:
            for shard in shards:
                if Path(shard).suffix in SAFETENSORS:
                    read_header(folder / shard)
            return
        lacking = lacking or gone
    whole = [f for f in _weight_files(folder) if "-of-" not in f.name] if not lacking else []
    if lacking:
        raise _incomplete(f"{len(lacking)} files of its weights are missing, such as {lacking[0]}", folder)
    for file in whole or list(_weight_files(folder)):
        if remains(file):
            raise _incomplete(f"The download of {file.name} isn't finished", folder)
        if file.suffix.lower() in SAFETENSORS:
            read_set(file)
        elif not file.stat().st_size:
            raise _incomplete(f"{file.name} is empty", folder)
        return
    raise _incomplete("The folder holds no weights", folder)


def _incomplete(message: str, folder: Path) -> StorageError:
    found = next(_partial(folder.parent if (folder.parent / "model_index.json").is_file() else folder), None)
    remedy = f"{_FINISH} {found.name} is what is left of one." if found else "Download what is missing."
    return StorageError(message, path=folder, remedy=remedy)


def _weight_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in (*SAFETENSORS, *_PICKLED, ".msgpack") and file.is_file() and file.name[0] != ".":
            yield file


def _partial(folder: Path) -> Iterator[Path]:
    walked = ((place, name) for place, _, names in os.walk(folder) for name in names)
    for place, name in islice(walked, _MOST_LOOKED_AT):
        if name.lower().endswith(PARTIAL[:-1]):
            yield Path(place, name)
