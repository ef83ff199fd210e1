"""Presets read from their folder, listed, and found by what a person types."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from bracket.environment import presets_folder
from bracket.errors import PresetError
from bracket.presets.matching import METHOD_WORDS, TRAINER_WORDS, Findable, meant, typed
from bracket.presets.matching import search as matching
from bracket.presets.schema import Preset
from bracket.reading import Unreadable, from_yaml, read_text, why
from bracket.strict import plain_error

DEMO_PRESET = "embedded-demo"
RUBRICS = "rubrics"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, ten times as fast, where PyYAML was built with it."""


def load_preset(path: Path) -> Preset:
    """Read one preset.

    Raises:
        PresetError: the file is missing, is no YAML, or doesn't fit; names the place and what is wrong there.
    """
    try:
        return Preset.model_validate(read_mapping(path))
    except ValidationError as error:
        raise PresetError(f"the preset doesn't fit: {plain_error(error, Preset)}", path=path) from error


def read_mapping(path: Path, seen: tuple[Path, ...] = (), what: str = "preset") -> dict[str, Any]:
    """A file's own keys over those of the file it extends; a key set to null is taken away.

    Raises:
        PresetError: a file is missing or is no YAML, or extends itself; `what` is what to call it.
    """
    try:
        raw = from_yaml(read_text(path), _LOADER)
    except (OSError, Unreadable) as error:
        raise PresetError(f"the {what} can't be read: {why(error)}", path=path, remedy="Mend or replace it.") from error
    if not isinstance(raw, dict):
        raise PresetError(f"the {what} doesn't fit: it holds no keys", path=path)
    if not (base := raw.pop("extends", "")):
        return raw
    below = path.parent / str(base)
    if below in seen:
        raise PresetError(f"the {what} extends itself", path=path)
    return _over(read_mapping(below, (*seen, path), what), raw)


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _over(merged[key], value)
        else:
            merged[key] = value
    return merged


def list_presets(folder: Path | None = None) -> list[Preset]:
    """Every preset under `presets/`, sorted by title, the embedded demo first. A name that begins with `_` is only for
    other presets to extend; `rubrics` holds what judges ask. PresetError is raised only where none can be read."""
    found, broken = _read(folder)
    if broken and not found:
        raise broken[0]
    return found


def broken_presets(folder: Path | None = None) -> list[PresetError]:
    """What is wrong with those that can't be read."""
    return _read(folder)[1]


def _read(folder: Path | None) -> tuple[list[Preset], list[PresetError]]:
    found, broken = [], []
    for file in sorted((folder or presets_folder()).glob("*/*.yaml")):
        if file.parent.name != RUBRICS and not file.name.startswith("_"):
            try:
                found.append(_loaded(file, _stamp(file)))
            except PresetError as error:
                broken.append(error)
    return sorted(found, key=lambda p: (p.name != DEMO_PRESET, p.title)), broken


def _stamp(path: Path) -> tuple[float, ...]:
    """Changes when a preset or one it may extend does."""
    return tuple(f.stat().st_mtime for f in (path, *sorted(path.parent.glob("_*.yaml"))))


@lru_cache(maxsize=256)
def _loaded(path: Path, stamp: tuple[float, ...]) -> Preset:
    return load_preset(path)


def search(query: str, presets: Sequence[Preset]) -> list[Preset]:
    """Those that have every typed word in model, method, trainer, or what else they are known by; see `matching`."""
    known = {p.name: p for p in presets}
    return [known[name] for name in matching(query, map(_findable, presets))]


def mended(query: str, presets: Sequence[Preset]) -> str:
    """The query as it may have been meant; "" where that can't be told."""
    return meant(query, [_findable(p) for p in presets])


def _findable(preset: Preset) -> Findable:
    called = preset.family, preset.model, *preset.also.split(",")
    known = [preset.title, preset.media, preset.method, METHOD_WORDS.get(preset.method, "")]
    trainer = TRAINER_WORDS.get(preset.trainer, (preset.trainer,))
    return Findable(preset.name, called, (*known, *trainer), preset.least_gb)


def find_preset(name: str, folder: Path | None = None) -> Preset:
    """The preset called `name`.

    Raises:
        PresetError: there is none; names the nearest.
    """
    presets = {p.name: p for p in list_presets(folder)}
    if name in presets:
        return presets[name]
    for error in broken_presets(folder):
        if Path(str(error.path)).stem == name:
            raise error
    near = [p.name for p in search(name, [*presets.values()])] if typed(name) else []
    near = near or difflib.get_close_matches(name, presets, 3)
    guess = "" if near else mended(name, [*presets.values()])
    near = near or [p.name for p in search(guess, [*presets.values()]) if guess]
    hint = f"Did you mean {' or '.join(map(repr, near[:3]))}?" if near else "`presets` lists all."
    more = f" `presets {guess or name}` lists all {len(near)} that fit." if len(near) > 3 else ""
    raise PresetError(f"there is no preset called {name!r}", remedy=hint + more)
