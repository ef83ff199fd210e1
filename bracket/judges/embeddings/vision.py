"""Any image model of transformers as an embedder of pictures: DINOv2 and its like, ViT, ConvNeXt, or half a SigLIP."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from bracket.domain import Problem
from bracket.errors import JudgeError
from bracket.judges.embeddings.model import Vectors, check_clip, kind_of, loading, missing_files, unit

_REMEDY = "Name the folder of a CLIP, or of an image model such as facebook/dinov2-small."


def check_vision(folder: Path) -> list[Problem]:
    """What is wrong with the folder of a CLIP or of an image model, without loading it."""
    kind = kind_of(folder)
    if isinstance(kind, Problem):
        return [kind]
    if kind == "clip":
        return check_clip(folder)
    if not kind:
        return [Problem("error", "the config.json of the judge's model names no model_type", _REMEDY, folder)]
    return missing_files(folder)


class VisionModel:
    """A loaded image model. Embeddings are float32 of length 1, on one thread, so the same input gives the same bits.

    A picture's embedding is the class token where the model has one, else its pooled output, else the mean of its
    parts; of a model of pictures and texts it is what the model itself calls its image features.

    Raises:
        JudgeError: the folder's files don't make an image model, or lack some of its weights.
    """

    def __init__(self, folder: Path) -> None:
        import torch
        import transformers

        torch.set_num_threads(1)
        with loading(folder):
            # The other backend would need torchvision.
            self._processor: Any = transformers.AutoImageProcessor.from_pretrained(
                folder, backend="pil", local_files_only=True
            )
            model, report = transformers.AutoModel.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
            )
        # A pooler is often left out of a checkpoint; only what it lacks is drawn at random, and not used here.
        lacking = sorted(k for k in report["missing_keys"] if "pooler" not in k)
        self._model: Any = model.eval()
        self._class_token = hasattr(getattr(model, "embeddings", None), "cls_token")
        if lacking or (not self._class_token and report["missing_keys"]):
            raise JudgeError(
                f"the weights of the judge's model in {folder} lack {(lacking or sorted(report['missing_keys']))[0]}",
                remedy="Get the model anew, or name another one.",
            )

    def images(self, pictures: Sequence[Image.Image]) -> Vectors:
        """Pictures (RGB) to unit vectors (N, D).

        Raises:
            JudgeError: the model is no image model after all.
        """
        import torch

        inputs = self._processor(images=list(pictures), return_tensors="pt")
        try:
            with torch.inference_mode():
                return unit(self._embedding(inputs))
        except (TypeError, ValueError, AttributeError) as error:
            raise JudgeError(
                f"the judge's model can't look at pictures alone: {str(error).splitlines()[0]}", remedy=_REMEDY
            ) from error

    def _embedding(self, inputs: Any) -> Any:
        if hasattr(self._model, "get_image_features"):
            found = self._model.get_image_features(**inputs)
            return getattr(found, "pooler_output", found)
        out = self._model(**inputs)
        if self._class_token:
            return out.last_hidden_state[:, 0]
        if getattr(out, "pooler_output", None) is not None:
            return out.pooler_output.flatten(1)
        return out.last_hidden_state.mean(1)
