"""Draw pictures of fixed prompts and seeds, and list them as they are whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bracket.files import append_json, read_json_lines, write_text, written_whole
from bracket.training.config.schema import DrawSection, PromptSection
from bracket.training.trial.checkpoints import step_name

INDEX = "index.jsonl"


def texts_of(prompts: Sequence[PromptSection], settings: DrawSection) -> set[str]:
    """Every text that drawing needs an embedding of. Without guidance above 1 nothing is steered away from."""
    return {p.text for p in prompts} | {p.negative for p in prompts if _own(p, settings).guidance > 1}


def _own(prompt: PromptSection, settings: DrawSection) -> DrawSection:
    """How this prompt is drawn: the settings of all, under its own."""
    own = prompt.model_dump(include={"width", "height", "steps", "guidance"}, exclude_none=True)
    return settings.model_copy(update=own) if own else settings


@torch.no_grad()
def draw(
    pipeline: Any,
    prompts: Sequence[PromptSection],
    embeddings: Mapping[str, Tensor],
    settings: DrawSection,
    folder: Path,
    step: int,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Write `folder/step-<step>/<number>-s<seed>.png` for each prompt, and a line in `index.jsonl` after each.

    Every picture's noise comes from a CPU generator of its own seed, so neither the batch nor the device chooses it.
    Pictures that are listed already aren't drawn again. `stopped` is asked between batches.

    Args:
        embeddings: prompt embeddings (text_length, width) by text.
    """
    listed = {line["path"] for line in read_json_lines(folder / INDEX)}
    todo = [(p, path) for n, p in enumerate(prompts) if (path := picture_path(step, n, p.seed)) not in listed]
    for part, own in _batches(todo, settings):
        if stopped():
            return
        images = _images(pipeline, [p for p, _ in part], embeddings, own)
        for image, (prompt, path) in zip(images, part, strict=True):
            with written_whole(folder / path) as beside:
                image.save(beside)
            append_json(folder / INDEX, {"path": path, "prompt": prompt.text, "seed": prompt.seed, "step": step})


def _batches(
    todo: Sequence[tuple[PromptSection, str]], settings: DrawSection
) -> Iterator[tuple[Sequence[tuple[PromptSection, str]], DrawSection]]:
    """Batches of prompts that are drawn alike, in order."""
    for _, group in groupby(todo, lambda each: _own(each[0], settings)):
        alike = list(group)
        for start in range(0, len(alike), settings.batch_size):
            yield alike[start : start + settings.batch_size], _own(alike[0][0], settings)


def picture_path(step: int, number: int, seed: int) -> str:
    """Where a picture goes, relative to the samples' folder."""
    return f"{step_name(step)}/{number:03d}-s{seed}.png"


def forget_after(folder: Path, step: int) -> None:
    """Take pictures of later steps off the list, so that a resumed run draws them anew and lists them once."""
    path = folder / INDEX
    lines = read_json_lines(path)
    kept = [line for line in lines if line["step"] <= step]
    if len(kept) < len(lines):
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))


def clear(folder: Path) -> None:
    """Start a new list."""
    write_text(folder / INDEX, "")


def _images(
    pipeline: Any, prompts: Sequence[PromptSection], embeddings: Mapping[str, Tensor], settings: DrawSection
) -> list[Any]:
    device = pipeline.transformer.device

    def stacked(texts: Sequence[str]) -> Tensor:
        return torch.stack([embeddings[t] for t in texts]).to(device)

    # The pipeline's first positional argument is an image: everything is passed by name.
    images: list[Any] = pipeline(
        prompt_embeds=stacked([p.text for p in prompts]),
        negative_prompt_embeds=stacked([p.negative for p in prompts]) if settings.guidance > 1 else None,
        width=settings.width,
        height=settings.height,
        num_inference_steps=settings.steps,
        guidance_scale=settings.guidance,
        generator=[torch.Generator().manual_seed(p.seed) for p in prompts],
    ).images
    return images
