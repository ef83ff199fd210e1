"""What a vision-language judge asks: a YAML of axes, each with its own question and its own scale of words.

Splitting the question by axis raises agreement with people (DreamBench++, arXiv 2406.16855), and models are steadier on
a scale of words than on numbers (MJ-Bench, arXiv 2407.04842): so one question an axis, answered by a word. Nothing here
rescales a score: a word is worth what the rubric says, in every batch.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from bracket.environment import presets_folder
from bracket.errors import PresetError
from bracket.files import given_path
from bracket.presets import RUBRICS, read_mapping
from bracket.strict import Strict, plain_error

Need = Literal["prompt", "references", "frames"]
PLACES = ("prompt", "class_word", "references", "frames")
_PLACE = re.compile(r"\{(\w+)\}")
_ANSWER = re.compile(r"[^\W_]{1,20}")


class Option(Strict):
    """One answer of a scale: the word, what it is worth (0 worst, 1 best), and when it is right."""

    answer: str
    value: float = Field(ge=0, le=1, allow_inf_nan=False)
    means: str = ""

    @field_validator("answer", mode="before")
    @classmethod
    def _one_word(cls, value: object) -> str:
        # YAML reads a bare 4 as a number, and a bare yes as true.
        word = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value).strip()
        if not _ANSWER.fullmatch(word):
            raise ValueError(f"{word!r} must be one word or number of at most 20 letters")
        return word


class Axis(Strict):
    """One question.

    Attributes:
        weight: what it counts in the score, beside the other axes that were asked.
        needs: what must be there for it to be asked.
        scale: its answers from worst to best; the rubric's own where it is empty.
    """

    question: str = Field(min_length=1)
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)
    needs: tuple[Need, ...] = ()
    scale: tuple[Option, ...] = ()


class Comparison(Strict):
    """The question about two pictures; `with_references` is added where training pictures are shown."""

    question: str = Field(min_length=1)
    with_references: str = ""


class Rubric(Strict):
    """A whole rubric.

    Attributes:
        system: what the model is told of its task, beside the rule about data that every question carries.
        frames: frames of a clip that are shown between its first and its last.
    """

    title: str = ""
    about: str = ""
    system: str = Field(min_length=1)
    scale: tuple[Option, ...] = ()
    frames: int = Field(4, ge=0, le=30)
    axes: Mapping[str, Axis] = Field(min_length=1)
    compare: Comparison

    @model_validator(mode="after")
    def _fits_together(self) -> Rubric:
        for name, axis in self.axes.items():
            if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
                raise ValueError(f"axis {name!r}: a name has small letters, digits and _ only")
            _check_scale(f"axes.{name}.scale", self.scale_of(name))
            _check_places(f"axes.{name}.question", axis.question, _given(axis.needs))
        _check_places("system", self.system, ())
        _check_places("compare.question", self.compare.question, ("prompt", "class_word"))
        _check_places("compare.with_references", self.compare.with_references, ("class_word", "references"))
        if not any(axis.weight for axis in self.axes.values()):
            raise ValueError("axes: at least one needs a weight above 0")
        return self

    @property
    def weights(self) -> dict[str, float]:
        return {name: axis.weight for name, axis in self.axes.items()}

    @property
    def fingerprint(self) -> str:
        """Changes with anything that could change a score; titles and comments can't."""
        data = self.model_dump(mode="json", exclude={"title", "about"})
        data["axes"] = {n: {**a, "scale": _plain(self.scale_of(n))} for n, a in data["axes"].items()}
        data.pop("scale")
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def scale_of(self, axis: str) -> tuple[Option, ...]:
        """The axis's answers, from worst to best."""
        return self.axes[axis].scale or self.scale


def load_rubric(path: str | Path = "") -> Rubric:
    """The rubric in a file; "" for the one that ships, a bare name such as "style" for another that ships.

    Raises:
        PresetError: the file is missing or doesn't fit; names the place in it and what is known there.
    """
    file = find_rubric(path)
    data = read_mapping(file, what="rubric")
    try:
        return Rubric.model_validate(data)
    except ValidationError as error:
        raise PresetError(f"the rubric doesn't fit: {plain_error(error)}", path=file, remedy=_remedy(error)) from error


def find_rubric(path: str | Path = "") -> Path:
    """The file that `load_rubric` would read; it need not exist.

    Raises:
        PresetError: a bare name is that of no rubric.
    """
    folder = presets_folder() / RUBRICS
    text = str(path).strip()
    if not text:
        return folder / "default.yaml"
    if re.search(r"[/\\.]", text):
        return given_path(text)
    if not (folder / f"{text}.yaml").is_file():
        known = ", ".join(sorted(f.stem for f in folder.glob("*.yaml")))
        raise PresetError(f"there is no rubric called {text!r}", remedy=f"Known: {known}; or give a file's path.")
    return folder / f"{text}.yaml"


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with its places filled. What is filled in is never searched for places itself."""
    return _PLACE.sub(lambda m: values[m[1]], text)


def _given(needs: Sequence[Need]) -> tuple[str, ...]:
    """Places that are always known where an axis with these needs is asked."""
    return ("class_word", *needs)


def _check_places(where: str, text: str, known: Sequence[str]) -> None:
    for place in _PLACE.findall(text):
        if place in known:
            continue
        if place in PLACES and where.startswith("axes."):
            raise ValueError(f"{where} holds {{{place}}}: add {place} to its needs")
        near = difflib.get_close_matches(place, known, 1)
        hint = f"did you mean {{{near[0]}}}?" if near else f"known: {', '.join(f'{{{k}}}' for k in known) or 'none'}"
        raise ValueError(f"{where} holds {{{place}}}: {hint}")


def _check_scale(where: str, scale: Sequence[Option]) -> None:
    if len(scale) < 2:
        raise ValueError(f"{where} needs at least two answers")
    if any(a.value >= b.value for a, b in itertools.pairwise(scale)):
        raise ValueError(f"{where} must go from worst to best: each answer's value above the one before it")
    words = [o.answer.casefold() for o in scale]
    for word in words:
        same = [w for w in words if w.startswith(word)]
        if len(same) > 1:
            # A model's next token could not tell them apart.
            raise ValueError(f"{where}: no answer may be the beginning of another ({', '.join(same)})")


def _remedy(error: ValidationError) -> str:
    """The nearest known key for the first that is unknown."""
    for e in error.errors():
        if e["type"] == "extra_forbidden":
            parts: dict[str, type[Strict]] = {"axes": Axis, "compare": Comparison}
            part = Option if "scale" in e["loc"][:-1] else parts.get(str(e["loc"][0]), Rubric)
            # The error may be about the top level itself, where a misspelt key is the only place it names.
            known, word = list((part if len(e["loc"]) > 1 else Rubric).model_fields), str(e["loc"][-1])
            near = difflib.get_close_matches(word, known, 1)
            return f"Did you mean {near[0]!r}?" if near else f"Known there: {', '.join(known)}."
    return "Mend the place it names."


def _plain(scale: Sequence[Option]) -> list[dict[str, object]]:
    return [o.model_dump(mode="json") for o in scale]
