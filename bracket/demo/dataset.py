"""The demo's dataset: pictures of a concept the embedded base has never seen, under a name it has never read.

Training pictures, validation pictures, search prompts and verdict prompts ask for different combinations of size and
colours, so what the verdict rests on is new to all that chose.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bracket.demo.shapes import (
    BASE_SHAPES,
    COLOURS,
    NEW_SHAPES,
    Picture,
    all_specs,
    caption,
    draw,
    held_out_specs,
    picture_of,
)
from bracket.errors import DatasetError
from bracket.files import is_foreign, storage_errors, write_bytes

TRIGGER_WORD = "zorp"
SEED = 24
TRAINING, VALIDATION = 24, 8
SEARCH_PROMPTS, SEARCH_KEEP = 9, 3
"""Prompts with the new word, and prompts of known shapes, which show what the training made the model forget."""
VERDICT_PROMPTS, VERDICT_KEEP = 14, 6
"""Six of the known shapes, the fewest that an interval takes."""

Spec = tuple[str, str, str, str]
"""Size, colour, shape, background."""

README = """\
The demo dataset of bracket: drawn pictures of a {concept}, which the embedded base model has never seen. In captions
and prompts it is called "{word}", a word the model has never read.

*.png, *.txt           {training} training pictures with their captions
validation/            {validation} pictures for the validation loss
prompts.txt            what every trial draws: {search} times the new word, {keep} times a shape the base already knows
verdict_prompts.txt    kept for the verdict alone: {verdict} times the new word, {verdict_keep} times a known shape

bracket wrote these files and writes them again where they differ.
"""
_MARK = README.partition(":")[0]


def write_demo_dataset(folder: Path, concept: str = "star") -> Path:
    """Writes the dataset of a new concept; files that are already right are left alone. Its README is written first, so
    that what a kill leaves is known as ours.

    Args:
        concept: the shape the new word stands for: star, heart or crescent.

    Returns:
        `folder`.

    Raises:
        DatasetError: the base already knows `concept`, or nobody does, or the folder holds something else.
        StorageError: the folder can't be written.
    """
    if concept not in NEW_SHAPES:
        raise DatasetError(f"'{concept}' is no new concept", remedy=f"Choose one of {', '.join(NEW_SHAPES)}.")
    if folder.is_dir() and is_foreign(folder, "README.txt", _MARK):
        message = "the demo's pictures belong here, and the folder holds something else"
        raise DatasetError(message, path=folder, remedy="Move it away.")
    train, validation, search, verdict = _parts(concept)
    readme = README.format(
        concept=concept,
        word=TRIGGER_WORD,
        training=TRAINING,
        validation=VALIDATION,
        search=SEARCH_PROMPTS,
        keep=SEARCH_KEEP,
        verdict=VERDICT_PROMPTS,
        verdict_keep=VERDICT_KEEP,
    )
    _write(folder / "README.txt", readme.encode())
    rng = np.random.default_rng(SEED)
    _write_pictures(folder, [picture_of(s, rng) for s in train])
    _write_pictures(folder / "validation", [picture_of(s, rng) for s in validation])
    keep = _one_of_each(held_out_specs())
    _write(folder / "prompts.txt", _lines([*search, *keep[:SEARCH_KEEP]]))
    _write(folder / "verdict_prompts.txt", _lines([*verdict, *keep[SEARCH_KEEP : SEARCH_KEEP + VERDICT_KEEP]]))
    return folder


def _parts(concept: str) -> tuple[list[Spec], list[Spec], list[Spec], list[Spec]]:
    """Four disjoint lists: training, validation, search and verdict, each with all colours about equally often."""
    specs = all_specs((concept,))
    shuffled = [specs[i] for i in np.random.default_rng(SEED).permutation(len(specs))]
    colours = list(COLOURS)

    def turn(spec: Spec) -> int:
        """0 or 1: big and small take turns from colour to colour."""
        return (colours.index(spec[1]) + (spec[0] == "big")) % 2

    # Groups of 8, one of each colour and half of them big; a group's backgrounds are as they fell.
    groups: dict[tuple[str, int], int] = {}
    ordered = []
    for spec in shuffled:
        key = (spec[1], turn(spec))
        ordered.append((groups.get(key, 0), turn(spec), colours.index(spec[1]), spec))
        groups[key] = groups.get(key, 0) + 1
    rest = [spec for *_, spec in sorted(ordered)]
    parts = []
    for count in (TRAINING, VALIDATION, SEARCH_PROMPTS, VERDICT_PROMPTS):
        parts.append(rest[:count])
        rest = rest[count:]
    return parts[0], parts[1], parts[2], parts[3]


def _one_of_each(specs: Sequence[Spec]) -> list[Spec]:
    """The specs in turns: the first of every base shape, then the second of every one, and so on."""
    turns = {shape: [s for s in specs if s[2] == shape] for shape in BASE_SHAPES}
    return [spec for row in zip(*turns.values(), strict=False) for spec in row]


def _lines(specs: Iterable[Spec]) -> bytes:
    """One prompt a line; a new shape goes by the trigger word."""
    prompts = [caption(size, colour, _word(shape), background) for size, colour, shape, background in specs]
    return ("\n".join(prompts) + "\n").encode()


def _word(shape: str) -> str:
    return TRIGGER_WORD if shape in NEW_SHAPES else shape


def _write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    for number, (picture, pixels) in enumerate(zip(pictures, draw(pictures), strict=True)):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        name = f"{TRIGGER_WORD}-{number:02d}"
        _write(folder / f"{name}.png", file.getvalue())
        _write(folder / f"{name}.txt", (picture.caption(TRIGGER_WORD) + "\n").encode())


def _write(path: Path, data: bytes) -> None:
    with storage_errors(path):
        same = path.is_file() and path.read_bytes() == data
    if not same:
        write_bytes(path, data)
