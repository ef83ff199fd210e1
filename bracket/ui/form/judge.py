"""The judge's fields as plain values, and the judges of a session's settings that they mean. No Gradio."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from bracket.environment import presets_folder
from bracket.errors import BracketError, PresetError, SettingsError
from bracket.files import given_path, write_text
from bracket.judges.vlm.rubric import Rubric, find_rubric, load_rubric
from bracket.presets import RUBRICS
from bracket.reading import Unreadable, from_yaml, read_text, why
from bracket.session.asked.settings import JudgeSettings, SessionSettings, load

KINDS = {
    "clip": "CLIP",
    "qwen_vl": "Vision-language model here",
    "openai_api": "Vision-language model on a server",
    "reference": "Reference metrics",
}
VLM = ("qwen_vl", "openai_api")
LOCAL = ("clip", "qwen_vl", "reference")
NEEDS = {
    "clip": "Scores prompt, likeness, variety and copies. Small and quick, also without a GPU; it ranks settings over "
    "many pictures, one pair it can't settle.",
    "qwen_vl": "Asks the questions of a rubric. An 8B model needs about 18 GB of GPU memory, between trainings.",
    "openai_api": "Asks the questions of a rubric of LM Studio, Ollama, vLLM, llama.cpp or a hosted model. Address, "
    "list of models and connection test are in the Judge tab.",
    "reference": "Measures likeness, diversity, copies and bleed against the training pictures. Best beside another "
    "judge.",
}
"""What each kind needs, in a line."""
MODEL = {
    "clip": "Folder or hub id of a CLIP model",
    "qwen_vl": "Folder or hub id, such as Qwen/Qwen3-VL-8B-Instruct",
    "openai_api": "Its name on the server",
    "reference": "Folder or hub id of a CLIP or DINO model",
}
FIELDS = {
    "judge": "kind",
    "judge_model": "model",
    "judge_share": "share",
    "judge_weights": "weights",
    "judge_rubric": "rubric",
    "judge_url": "url",
    "judge_key_variable": "key_variable",
    "judge_repeats": "repeats",
    "judge_references": "references",
    "judge_quantize": "quantize",
    "judge_device": "device",
    "judge_timeout": "timeout",
    "judge_concurrency": "concurrency",
    "judge_batch_size": "batch_size",
}
"""Fields of the form by the setting they fill."""
OTHERS = "other_judges"
OTHER_COLUMNS = ("Kind", "Model", "Share", "More settings")
_NUMBERS = {
    "judge_share": ("Share", float),
    "judge_repeats": ("Times a question is asked", int),
    "judge_references": ("Training pictures shown", int),
    "judge_timeout": ("Seconds for an answer", float),
    "judge_concurrency": ("Questions at once", int),
    "judge_batch_size": ("Pictures at once", int),
}
_RULED = {"kind", "model", "share"}
_EXTENDS = re.compile(r"(?m)^(extends\s*:\s*)(['\"]?)([^'\"#\n]+?)\2(\s*(?:#.*)?)$")
_OWN = re.compile(r"(?m)^(axes|extends)\s*:")
"""In every rubric of one's own, also in one that is yet to be mended."""


def label(name: str) -> str:
    """What a number's field is called."""
    return _NUMBERS[name][0]


def judge_values(settings: SessionSettings) -> dict[str, Any]:
    """What the form shows for the settings' judges; `judges_meant` is the inverse."""
    values: dict[str, Any] = {n: getattr(settings.judge, setting) for n, setting in FIELDS.items()}
    values["judge_weights"] = flow(settings.judge.weights)
    values[OTHERS] = [_row(j) for j in settings.other_judges]
    return values


def judges_meant(values: Mapping[str, Any]) -> dict[str, Any]:
    """`judge` and `other_judges` as `SessionSettings` takes them.

    Raises:
        SettingsError: a field can't be read; names it by its label, or the row of the table.
    """
    return {"judge": judge_meant(values), "other_judges": [_other(r, i) for i, r in enumerate(_rows(values), 1)]}


def checks(values: Mapping[str, Any]) -> dict[str, Callable[[], object]]:
    """What reads each field that may be wrong by itself."""
    found: dict[str, Callable[[], object]] = {n: partial(number, values[n], *args) for n, args in _NUMBERS.items()}
    found["judge_weights"] = partial(mapping, _text(values["judge_weights"]), "Axis weights")
    found[OTHERS] = lambda: [_other(row, i) for i, row in enumerate(_rows(values), 1)]
    return found


def judge_meant(values: Mapping[str, Any]) -> dict[str, Any]:
    """The first judge's settings as plain data.

    Raises:
        SettingsError: as `judges_meant`.
    """
    made: dict[str, Any] = {}
    for name, setting in FIELDS.items():
        given = values[name]
        made[setting] = number(given, *_NUMBERS[name]) if name in _NUMBERS else _text(given)
    made["weights"] = mapping(made["weights"], "Axis weights")
    return made


def number(given: object, name: str, kind: type[float] | type[int] = float) -> float | int:
    """A field's number, as 0.0001 or 1e-4.

    Raises:
        SettingsError: there is none, it isn't whole where it must be, has a comma, or is infinite.
    """
    if isinstance(given, int):
        return kind(given)
    typed = _text(given).replace("\N{MINUS SIGN}", "-")
    if not typed:
        raise SettingsError(f"{name}: {'a whole number' if kind is int else 'a number'} is needed", remedy="Type one.")
    if "," in typed:
        point = f"Write {typed.replace(',', '.')}" if typed.count(",") == 1 and "." not in typed else "Write it"
        raise SettingsError(f"{name}: {typed} has a comma", remedy=f"{point} with a point.")
    try:
        found = float(typed)
    except ValueError:
        raise SettingsError(f"{name}: {typed!r} is not a number", remedy="Type one like 0.0001 or 1e-4.") from None
    if not math.isfinite(found):
        raise SettingsError(f"{name}: {typed} is not a finite number", remedy="Type one like 0.0001 or 1e-4.")
    if kind is int and found != int(found):
        raise SettingsError(f"{name}: {found:g} is not a whole number", remedy="Round it.")
    return kind(found)


def flow(data: Mapping[str, Any]) -> str:
    """Plain data as a person types it in one line: "adherence: 0.5, likeness: 0.2"."""
    if not data:
        return ""
    text: str = yaml.safe_dump(dict(data), default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    return text.strip()[1:-1]


def mapping(given: str, name: str) -> dict[str, Any]:
    """The reverse of `flow`.

    Raises:
        SettingsError: it is no list of `name: value`.
    """
    remedy = "Type it like adherence: 0.5, likeness: 0.2."
    try:
        found = from_yaml("{" + given + "\n}")
    except Unreadable:
        raise SettingsError(f"{name}: {given!r} can't be read", remedy=remedy) from None
    if not isinstance(found, dict) or None in found.values():
        raise SettingsError(f"{name}: {given!r} can't be read", remedy=remedy)
    return found


# The rubric as a text that is edited.


def rubric_names() -> list[str]:
    """The rubrics that ship, the default first."""
    names = sorted(f.stem for f in (presets_folder() / RUBRICS).glob("*.yaml"))
    return sorted(names, key=lambda n: n != "default")


def rubric_text(path: str) -> str:
    """A rubric's file as it stands.

    Raises:
        PresetError: it can't be read.
    """
    file = find_rubric(path)
    try:
        return read_text(file)
    except (OSError, Unreadable) as error:
        raise PresetError(
            f"the rubric can't be read: {why(error)}", path=file, remedy="Choose another file."
        ) from error


def check_rubric(text: str, path: str = "") -> Rubric:
    """The rubric a text means, as if it stood where `path` does.

    Raises:
        PresetError: it doesn't fit; says where.
    """
    with tempfile.TemporaryDirectory(prefix="bracket-rubric-") as folder:
        file = Path(folder) / "rubric.yaml"
        file.write_text(rooted(text, path), encoding="utf-8")
        try:
            return load_rubric(file)
        except PresetError as error:
            where = error.path if error.path is not None and Path(error.path) != file else None
            raise PresetError(error.message, path=where, remedy=error.remedy) from error


def rooted(text: str, path: str = "") -> str:
    """The text with what it extends by its whole path, so that it means the same in another folder."""
    home = find_rubric(path).parent
    return _EXTENDS.sub(lambda m: f"{m[1]}{m[2]}{home / m[3].strip()}{m[2]}{m[4]}", text)


def save_rubric(text: str, path: str, target: str, runs: Path) -> Path:
    """Write an edited rubric into a file of one's own; gives that file.

    Args:
        path: the rubric the text began as.

    Raises:
        PresetError: the text doesn't fit, the file's name can't be used, or the file ships with bracket.
        SettingsError: a session under `runs` was judged by this file.
    """
    check_rubric(text, path)
    if not target.strip():
        raise PresetError("the rubric needs a file to go to", remedy="Type its name, such as my-rubric.yaml.")
    file = given_path(target)
    file = (file if file.is_absolute() else runs / file).absolute()
    if file.suffix not in (".yaml", ".yml"):
        raise PresetError("a rubric's file ends in .yaml", path=file, remedy="Add the ending.")
    if file.resolve().is_relative_to(presets_folder().resolve()):
        raise PresetError("this rubric ships with bracket and stays as it is", path=file, remedy="Name another file.")
    if file.exists() and (session := judged_by(file, runs)):
        raise SettingsError(
            f"session {session!r} is judged by this file, and must stay comparable", path=file, remedy="Name another."
        )
    if os.path.lexists(file):
        if file.resolve() != find_rubric(path).resolve():
            remedy = "Open that file to edit it, or name another."
            raise PresetError("there is a file of this name already", path=file, remedy=remedy)
        if not _OWN.search(rubric_text(path)):
            what = "the file that is open is no rubric, and stays as it is"
            raise PresetError(what, path=file, remedy="Name another.")
    write_text(file, rooted(text, path))
    return file


def judged_by(file: Path, runs: Path) -> str:
    """The name of a session whose settings name this rubric; "" where there is none."""
    for folder in sorted(runs.glob("*/session.yaml")):
        try:
            settings = load(folder.parent)
        except BracketError:  # a damaged session says so where it is opened
            continue
        for judge in settings.judges:
            if judge.rubric and find_rubric(judge.rubric).absolute() == file:
                return folder.parent.name
    return ""


def _row(judge: JudgeSettings) -> list[Any]:
    more = judge.model_dump(mode="json", exclude_defaults=True, exclude=_RULED)
    return [judge.kind, judge.model, f"{judge.share:g}", flow(more)]


def _rows(values: Mapping[str, Any]) -> list[Sequence[Any]]:
    return [row for row in values[OTHERS] or [] if any(_text(cell) for cell in row)]


def _other(row: Sequence[Any], place: int) -> dict[str, Any]:
    kind, model, share, more = (*(_text(cell) for cell in row), "", "", "", "")[:4]
    where = f"other judge {place}"
    if kind not in KINDS:
        raise SettingsError(f"{where}: {kind!r} is no kind of judge", remedy=f"Known: {', '.join(KINDS)}.")
    found = mapping(more, f"{where}, more settings")
    unknown = sorted(set(found) - set(JudgeSettings.model_fields))
    if unknown:
        known = ", ".join(n for n in JudgeSettings.model_fields if n not in _RULED)
        raise SettingsError(f"{where}: there is no setting called {unknown[0]!r}", remedy=f"Known: {known}.")
    weight = number(share, f"{where}, share") if share else 1.0
    return {**found, "kind": kind, "model": model, "share": weight}


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()
