"""A CLIP model as an embedder of pictures and texts: found, identified and loaded here, torch only when it is used."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bracket.domain import Problem
from bracket.errors import JudgeError
from bracket.files import given_path
from bracket.reading import from_json, read_text

Vectors = NDArray[np.float32]
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin")
"""What of a hub repository is needed; the safetensors are enough where both exist, yet old ones have only the other."""

Check = Callable[[Path], list[Problem]]
"""What is wrong with a model's folder."""

_WHOLE = 64 << 20
_CHUNK = 1 << 20


def is_hub_id(model: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", model) is not None and not given_path(model).exists()


def check_model(model: str, check: Check | None = None, what: str = "a CLIP model") -> list[Problem]:
    """What is wrong with a model folder or hub id, without loading it.

    Args:
        check: what is wrong with a folder that is there; `check_clip` by default.
        what: what the folder ought to hold, for remedies.
    """
    check = check or check_clip
    if not model:
        return [Problem("error", "the judge has no model", f"Name the folder of {what}, or its hub id.")]
    if is_hub_id(model):
        if snapshot(model, check):
            return []
        return [Problem("info", f"the judge's model {model} will be downloaded when it is first used")]
    folder = given_path(model)
    if not folder.is_dir():
        return [Problem("error", "the judge's model folder is missing", f"Name the folder of {what}.", folder)]
    return check(folder)


def check_clip(folder: Path) -> list[Problem]:
    """What is wrong with the folder of a CLIP."""
    kind = kind_of(folder)
    if isinstance(kind, Problem):
        return [kind]
    if kind != "clip":
        remedy = "Name the folder of a CLIP model."
        return [Problem("error", f"the judge's model is of type {kind!r}, not 'clip'", remedy, folder)]
    return missing_files(folder, texts=True)


def kind_of(folder: Path) -> str | Problem | None:
    """The `model_type` of a folder's config.json, None when it names none, or what is wrong with that file."""
    config = folder / "config.json"
    if not config.is_file():
        return Problem("error", "the judge's model has no config.json", "Name the folder of a whole model.", folder)
    try:
        found = from_json(read_text(config)).get("model_type")
    except (OSError, ValueError, AttributeError):
        return Problem("error", "the config.json of the judge's model is damaged", "Get the model anew.", config)
    return None if found is None else str(found)


def missing_files(folder: Path, *, texts: bool = False) -> list[Problem]:
    """What a model of pictures (and `texts`) needs beside its config.json and lacks."""
    lacking = [n for n in ("preprocessor_config.json",) if not (folder / n).is_file()]
    if not any((folder / name).is_file() for name in WEIGHTS):
        lacking.append(WEIGHTS[0])
    if texts and not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        lacking.append("tokenizer.json")
    if lacking:
        return [Problem("error", f"the judge's model lacks {', '.join(lacking)}", "Get the model whole.", folder)]
    return []


def resolve(model: str, check: Check = check_clip) -> Path:
    """The folder of a model; a hub id is downloaded unless it is on this machine already, and `check` finds it whole.

    Raises:
        JudgeError: it isn't there or can't be downloaded.
    """
    if not is_hub_id(model):
        return given_path(model)
    return snapshot(model, check) or _download(model)


def snapshot(model: str, check: Check) -> Path | None:
    """The folder of a hub id that is on this machine; None when it isn't, or `check` finds something wrong with it."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    folder = Path(found).parent if isinstance(found, str) else None
    return folder if folder and not check(folder) else None


def _download(model: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(snapshot_download(model, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        raise JudgeError(
            f"the judge's model {model} can't be downloaded: {str(error).splitlines()[0]}",
            remedy="Connect to the internet once, or name a folder that holds the model.",
        ) from error


def identity(folder: Path) -> str:
    """16 hex digits that change when any file of the model does.

    Files above 64 MB count by size, head, tail and 14 places between, 1 MB each: a few milliseconds instead of seconds,
    and a retrained or requantised weight file differs in all of them.
    """
    digest = hashlib.sha256()
    for path in sorted(p for pattern in FILES for p in folder.glob(pattern)):
        size = path.stat().st_size
        digest.update(f"{path.name}:{size}:".encode())
        with path.open("rb") as file:
            if size <= _WHOLE:
                digest.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for i in range(16):
                file.seek((size - _CHUNK) * i // 15)
                digest.update(file.read(_CHUNK))
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Load a model inside, without progress bars and warnings; what matters of them is for the caller to find.

    Raises:
        JudgeError: the folder's files don't make that model.
    """
    import transformers
    from safetensors import SafetensorError

    logging = transformers.utils.logging
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    except (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError) as error:
        said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise JudgeError(
            f"the judge's model in {folder} can't be loaded: {said.strip()}",
            remedy="Get the model anew, or name another one.",
        ) from error
    finally:
        logging.set_verbosity(verbosity)


class ClipModel:
    """A loaded CLIP. Embeddings are float32 of length 1, on one thread, so the same input gives the same bits.

    Raises:
        JudgeError: the folder's files don't make a CLIP.
    """

    def __init__(self, folder: Path) -> None:
        import torch
        import transformers

        torch.set_num_threads(1)
        # Named after its backend since transformers 5.1; the other one would need torchvision.
        processor = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
        with loading(folder):
            model = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._processor: Any = processor.from_pretrained(folder, local_files_only=True)
        self._model: Any = model.eval()
        self._context = int(self._model.config.text_config.max_position_embeddings)

    def images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Pictures (RGB) to unit vectors (N, D)."""
        import torch

        pixels = self._processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            pooled = self._model.vision_model(pixel_values=pixels).pooler_output
            return unit(self._model.visual_projection(pooled))

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Texts to unit vectors (N, D); what exceeds the model's context is cut off."""
        import torch

        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._context, return_tensors="pt"
        )
        with torch.inference_mode():
            out = self._model.text_model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
            return unit(self._model.text_projection(out.pooler_output))


def unit(vectors: Any) -> Vectors:
    """A tensor's rows made length 1."""
    result: Vectors = (vectors / vectors.norm(dim=-1, keepdim=True)).numpy()
    return result
