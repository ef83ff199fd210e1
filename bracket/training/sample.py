"""Draw pictures with a finished checkpoint, or the bare base: `python -m bracket.training.sample REQUEST.json`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bracket.errors import SettingsError, StorageError, TrainerError
from bracket.files import read_json
from bracket.training.config.reading import validate
from bracket.training.config.schema import ModelSection, SampleRequest
from bracket.training.process.program import Exit, limit_threads, run

if TYPE_CHECKING:
    from torch import Tensor

    from bracket.training.model.klein import Base


def main(arguments: Sequence[str]) -> int:
    """Run the program; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m bracket.training.sample", description="Draw pictures.")
    parser.add_argument("request", type=Path, help="JSON, see docs/contracts.md")
    given = parser.parse_args(arguments)

    def body() -> Exit:
        try:
            tree = read_json(given.request)
        except StorageError as error:
            raise SettingsError(error.message, path=error.path, remedy=error.remedy) from error
        request = validate(SampleRequest, tree, {})
        if request.checkpoint and not request.checkpoint.is_dir():
            raise SettingsError("The checkpoint doesn't exist", path=request.checkpoint)
        limit_threads()
        return _draw(request)

    return run(body)


def _draw(request: SampleRequest) -> Exit:
    """Draw everything anew: what an earlier run listed may have been another checkpoint's."""
    from bracket.training.model.klein import Base, choose_device, choose_dtype
    from bracket.training.trial import checkpoints, sampling

    device = choose_device(request.device)
    model = ModelSection(path=request.model, text_length=request.text_length, text_layers=request.text_layers)
    base = Base(model, device, choose_dtype(request.dtype, device))
    embeddings = _embeddings(request, base)
    step = 0
    if request.checkpoint:
        step = checkpoints.step_of(request.checkpoint)
        try:
            base.pipeline.load_lora_weights(request.checkpoint)
        except (OSError, ValueError) as error:
            raise TrainerError("The checkpoint holds no LoRA for this model", path=request.checkpoint) from error
    sampling.clear(request.out)
    sampling.draw(base.pipeline, request.prompts, embeddings, request, request.out, step)
    return Exit.OK


def _embeddings(request: SampleRequest, base: Base) -> dict[str, Tensor]:
    """Each distinct text encoded once, or taken from the trials' cache when the request names it."""
    from bracket.training.data.cache import Cache, read
    from bracket.training.trial.sampling import texts_of

    texts = sorted(texts_of(request.prompts, request))
    if request.cache_dir is None:
        embeddings = {text: base.encode_text(text) for text in texts}
        base.forget_text_encoder()
        return embeddings
    cache = Cache(request.cache_dir)
    cache.fill(base, (), texts)
    return {text: read(cache.text(text, base)) for text in texts}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
