"""Reading what a dataset is: a folder of pictures, or a dataset file of sd-scripts or of musubi-tuner.

Values of [general] hold for every [[datasets]], those for every subset, as in the trainers; what all sources have in
common becomes an option of the dataset, the rest stays with its source. Nothing the file says is dropped.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bracket.dataset.reading.keys import (
    FRAME_EXTRACTIONS,
    MUSUBI_GENERAL,
    MUSUBI_IMAGE,
    MUSUBI_OLD,
    MUSUBI_VIDEO,
    NAMES,
    NEWER,
    OF_A_SOURCE,
    SD_DATASET,
    SD_SUBSET,
    SD_SUBSET_ONLY,
    Dialect,
    Keys,
    Kind,
    as_kind,
    beyond,
    fits,
    is_plain,
)
from bracket.dataset.reading.layout import read_layout
from bracket.dataset.reading.media import beside
from bracket.dataset.reading.prompts import read_text
from bracket.domain import Problem, Source
from bracket.errors import DatasetError, SettingsError, StorageError
from bracket.files import path_text
from bracket.homes import dataset_keys, known_home
from bracket.reading import Unreadable, from_toml

_NAMING = ("image_directory", "video_directory", "image_jsonl_file", "video_jsonl_file")
_KINDS: Mapping[Kind, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "text": "a text in quotes",
    "size": "a whole number or [width, height]",
    "ints": "a list of whole numbers",
    "range": "a list of two numbers",
    "table": "a table",
}
_Table = Mapping[str, Any]


@dataclass(frozen=True)
class Description:
    """The sources of a dataset, and the options they share by their house names.

    `root` is the folder itself, or where the file lies, of the first where there are several; `plain` are sources that
    no file describes, `files` the dataset files, `said` what is to say of them.
    """

    sources: tuple[Source, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    root: Path = field(default=Path(), compare=False)
    plain: frozenset[Path] = field(default=frozenset(), compare=False)
    files: tuple[Path, ...] = field(default=(), compare=False)
    said: tuple[Problem, ...] = field(default=(), compare=False)


def places(given: Path | str) -> list[Path]:
    """The folders and files a dataset is given as: one path a line. Raises DatasetError."""
    if os.path.exists(given):
        return [Path(_meant(str(given))).absolute()]
    lines = [Path(_meant(line)) for line in str(given).splitlines() if line.strip()]
    return list(dict.fromkeys(path.absolute() for path in lines))


def _meant(text: str) -> str:
    try:
        return path_text(text)
    except SettingsError as error:
        raise DatasetError(error.message, path=error.path, remedy=error.remedy) from error


def read_description(given: Path | str) -> Description:
    """A folder's sources, or what a `.toml` dataset file says; several of them, one a line, as one dataset.

    A relative path in the file counts from the file's folder where it exists there, else from the current folder. Where
    an sd-scripts file names no caption extension, it is `.caption` if the folder has such files, else `.txt`.

    Raises:
        DatasetError: the folder or file is missing, or no path of this system; the file is no TOML or of neither
            trainer; a key is unknown or has a value of another type; a folder it names does not exist.
    """
    parts = [_read_one(path) for path in places(given)]
    if not parts:
        raise DatasetError("No dataset folder is given", remedy="Name the folder that holds the pictures.")
    if len(parts) == 1:
        return parts[0]
    sources = [replace(s, options={**p.options, **s.options}) for p in parts for s in p.sources]
    if twice := [f for f, n in Counter(s.folder for s in sources if s.folder in _plain(parts)).items() if n > 1]:
        raise DatasetError("This folder is given twice", path=twice[0], remedy="Name it once.")
    files, said = tuple(f for p in parts for f in p.files), tuple(w for p in parts for w in p.said)
    return replace(_shared(sources), root=parts[0].root, plain=_plain(parts), files=files, said=said)


def _plain(parts: Sequence[Description]) -> frozenset[Path]:
    return frozenset().union(*(p.plain for p in parts))


def _read_one(path: Path) -> Description:
    if path.suffix.lower() != ".toml" or os.path.isdir(path):
        layout = read_layout(path)
        plain = frozenset(s.folder for s in layout.sources)
        return Description(layout.sources, root=path, plain=plain, said=layout.said)
    return replace(_read_file(path), root=path.parent, files=(path,))


def _read_file(path: Path) -> Description:
    document = _load(path)
    reader = _Reader(path)
    datasets = reader.datasets(document)
    general = document.get("general", {})
    kohya = any("subsets" in d for d in datasets)
    if kohya or any(key in d for d in datasets for key in _NAMING):
        made = _shared((reader.sd_scripts if kohya else reader.musubi)(general, datasets))
        return replace(made, said=_newer_words(path, reader.newer, "sd_scripts" if kohya else "musubi"))
    remedy = "sd-scripts wants [[datasets.subsets]] with image_dir, musubi-tuner image_directory or video_directory."
    raise DatasetError("This dataset file names no folder of pictures", path=path, remedy=remedy)


def _load(path: Path) -> dict[str, Any]:
    if not os.path.exists(path):
        raise DatasetError("The dataset file does not exist", path=path, remedy="Check the path.")
    text = read_text(path)
    try:
        return from_toml(text)
    except Unreadable as error:
        remedy = "Correct the line it names."
        if "\\" in text:
            remedy = "In double quotes a \\ begins a sign: write paths in single quotes, 'C:\\pictures', or with /."
        raise DatasetError(f"This can't be read: {error}", path=path, remedy=remedy) from error


def _shared(sources: Sequence[Source]) -> Description:
    """Moves the options that every source has with the same value to the dataset."""
    first = sources[0].options
    options = {
        key: value
        for key, value in first.items()
        if key not in OF_A_SOURCE and all(key in s.options and s.options[key] == value for s in sources)
    }
    rest = tuple(replace(s, options={k: v for k, v in s.options.items() if k not in options}) for s in sources)
    return Description(rest, options)


def _installed_keys(trainer: str) -> Mapping[str, str]:
    """The keys of dataset files that the installed trainer's own validator knows; {} where there is none."""
    try:
        home = known_home(trainer)
    except StorageError:
        return {}
    return dataset_keys(home) if home else {}


def _newer_words(path: Path, keys: Collection[str], trainer: Dialect) -> tuple[Problem, ...]:
    if not keys:
        return ()
    message = f"The installed {NAMES[trainer]} knows {', '.join(sorted(keys))}, which bracket doesn't"
    return (Problem("warning", message, "They are passed on as they are, unchecked.", path),)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


class _Reader:
    """Reads the tables of one file; every error says where in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.newer: set[str] = set()

    def datasets(self, document: _Table) -> list[_Table]:
        """Its [[datasets]], after a look at the top of the file."""
        for key in document:
            if key not in ("general", "datasets"):
                raise self._unknown(key, "the top of the file", ("general", "datasets"))
        if not isinstance(document.get("general", {}), dict):
            raise self._error("'general' must be a table", "Write [general].")
        return self._tables(document, "datasets", "")

    def sd_scripts(self, general: _Table, datasets: Sequence[_Table]) -> list[Source]:
        self._check(general, "general", SD_DATASET | SD_SUBSET, trainer="sd_scripts")
        found = []
        for i, dataset in enumerate(datasets):
            where = f"datasets[{i}]"
            own = {k: v for k, v in dataset.items() if k != "subsets"}
            self._check(own, where, SD_DATASET | SD_SUBSET, ("subsets",), trainer="sd_scripts")
            number = {"dataset": i} if len(datasets) > 1 else {}
            for j, subset in enumerate(self._tables(dataset, "subsets", where + ".")):
                inside = f"{where}.subsets[{j}]"
                self._check(subset, inside, SD_SUBSET | SD_SUBSET_ONLY, trainer="sd_scripts")
                found.append(self._subset({**general, **own, **subset, **number}, inside))
        return found

    def _subset(self, said: dict[str, Any], where: str) -> Source:
        keys: Keys = {**SD_DATASET, **SD_SUBSET, **SD_SUBSET_ONLY, "dataset": "int"}
        options = {k: as_kind(keys[k], v) for k, v in said.items() if k in keys} | self._newer("sd_scripts", said, keys)
        if "metadata_file" in options:
            options["metadata_file"] = str(self._place(said, "metadata_file", where))
            given = "image_dir" in options
            folder = self._place(said, "image_dir", where) if given else Path(str(options["metadata_file"])).parent
        elif "image_dir" in options:
            folder = self._place(said, "image_dir", where)
        else:
            raise self._error(f"{where} has no image_dir", "Name the folder of its pictures.")
        controls: tuple[Path, ...] = ()
        if "conditioning_data_dir" in options:
            controls = (self._place(said, "conditioning_data_dir", where),)
        suffix = options.get("caption_extension") or (".caption" if any(folder.glob("*.caption")) else ".txt")
        return Source(
            folder=folder,
            repeats=self._repeats(said, where),
            caption_suffix=_dotted(str(suffix)),
            controls=controls,
            regularisation=bool(said.get("is_reg", False)),
            class_words=said.get("class_tokens", ""),
            options=_without(
                options,
                ("image_dir", "num_repeats", "caption_extension", "conditioning_data_dir", "is_reg", "class_tokens"),
            ),
        )

    def musubi(self, general: _Table, datasets: Sequence[_Table]) -> list[Source]:
        general = self._renamed(general)
        self._check(general, "general", MUSUBI_GENERAL, trainer="musubi")
        found = []
        for i, raw in enumerate(datasets):
            dataset, where = self._renamed(raw), f"datasets[{i}]"
            video = "video_directory" in dataset or "video_jsonl_file" in dataset
            keys = MUSUBI_GENERAL | (MUSUBI_VIDEO if video else MUSUBI_IMAGE)
            self._check(dataset, where, keys, trainer="musubi")
            found.append(self._dataset({**general, **dataset}, where, keys, video))
        return found

    def _dataset(self, said: dict[str, Any], where: str, keys: Keys, video: bool) -> Source:
        named = [k for k in _NAMING if k in said]
        if len(named) != 1:
            remedy = f"Give one of {', '.join(_NAMING)}."
            raise self._error(f"{where} names {'no folder' if not named else ' and '.join(named)}", remedy)
        if said.get("frame_extraction", "head") not in FRAME_EXTRACTIONS:
            message = f"frame_extraction of {where} is '{said['frame_extraction']}'"
            raise self._error(message, f"Choose one of {', '.join(FRAME_EXTRACTIONS)}.")
        options = {k: as_kind(keys[k], v) for k, v in said.items() if k in keys} | self._newer("musubi", said, keys)
        place = self._place(said, named[0], where)
        if named[0].endswith("_file"):
            options[named[0]] = str(place)
            place = place.parent
        else:
            del options[named[0]]
        controls = (self._place(said, "control_directory", where),) if "control_directory" in said else ()
        return Source(
            folder=place,
            media="video" if video else "image",
            repeats=self._repeats(said, where),
            caption_suffix=_dotted(said.get("caption_extension") or ".txt"),
            controls=controls,
            options=_without(options, ("num_repeats", "caption_extension", "control_directory")),
        )

    def _renamed(self, table: _Table) -> dict[str, Any]:
        current = {MUSUBI_OLD[k]: v for k, v in table.items() if k in MUSUBI_OLD}
        return current | {k: v for k, v in table.items() if k not in MUSUBI_OLD}

    def _repeats(self, said: _Table, where: str) -> int:
        repeats = said.get("num_repeats", 1)
        if repeats < 1:
            raise self._error(f"num_repeats of {where} is {repeats}", "Write 1 or more, or take this part out.")
        return int(repeats)

    def _place(self, said: _Table, key: str, where: str) -> Path:
        """The folder or file that a key names, which must be there."""
        text = str(said[key])
        if any(0 < ord(sign) < 32 for sign in text):
            remedy = "In double quotes a \\ begins a sign: write 'C:\\pictures' in single quotes, or with /."
            raise self._error(f"{key} of {where} is {_short(text)}, which no path is", remedy)
        place = beside(text if "\0" in text else _meant(text), self.path.parent)
        if not (os.path.isfile(place) if key.endswith("_file") else os.path.isdir(place)):
            kind = "file" if key.endswith("_file") else "folder"
            raise DatasetError(
                f"The {kind} that {key} of {where} in {self.path.name} names does not exist",
                path=place,
                remedy=f"Correct {key}.",
            )
        return place

    def _tables(self, table: _Table, key: str, before: str) -> list[_Table]:
        tables = table.get(key)
        if not isinstance(tables, list) or not tables or not all(isinstance(t, dict) for t in tables):
            raise self._error(f"There is no [[{before}{key}]] in this dataset file", "Add one for every folder.")
        return tables

    def _check(self, table: _Table, where: str, keys: Keys, more: Collection[str] = (), *, trainer: str) -> None:
        for key, value in table.items():
            if key not in keys and key in _installed_keys(trainer) and key not in more and is_plain(value):
                self.newer.add(key)
                continue
            if key not in keys:
                raise self._unknown(key, where, (*keys, *more))
            if not fits(keys[key], value):
                raise self._error(f"{key} of {where} is {_short(value)}", f"It takes {_KINDS[keys[key]]}.")
            if limits := beyond(key, value):
                raise self._error(f"{key} of {where} is {_short(value)}", f"It takes {_KINDS[keys[key]]} {limits}.")

    def _newer(self, trainer: str, said: _Table, keys: Keys) -> dict[str, object]:
        """What a newer trainer knows, by the table it belongs to."""
        tables: dict[str, dict[str, object]] = {}
        for key in said.keys() - keys.keys():
            tables.setdefault(f"{trainer}.{_installed_keys(trainer)[key]}", {})[key] = said[key]
        return {NEWER: tables} if tables else {}

    def _unknown(self, key: str, where: str, known: Collection[str]) -> DatasetError:
        near = difflib.get_close_matches(key, known, 1, 0.7)
        remedy = f"Did you mean {near[0]}?" if near else f"Known there: {', '.join(sorted(known))}."
        return self._error(f"Unknown key '{key}' in {where}", remedy)

    def _error(self, message: str, remedy: str) -> DatasetError:
        return DatasetError(message, path=self.path, remedy=remedy)


def _dotted(suffix: str) -> str:
    return suffix if suffix.startswith(".") else f".{suffix}"


def _without(options: Mapping[str, object], keys: Collection[str]) -> dict[str, object]:
    return {k: v for k, v in options.items() if k not in keys}
