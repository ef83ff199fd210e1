"""What a folder of pictures is: one of plain pictures, kohya's layout (`10_sks dog/`, `reg/1_dog/`), or folders below.

Pictures right in the folder are the dataset, and subfolders are left alone. Where there are none, those in its
subfolders are: of kohya's layout the folders called `<repeats>_<words>`, else every one that holds pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bracket.dataset.reading.media import files_of, listing
from bracket.domain import Problem, Source
from bracket.errors import DatasetError

VALIDATION = "validation"
"""In a dataset that is a folder, a subfolder of this name holds the pictures for the validation loss."""
_NAMED = re.compile(r"([0-9]{1,3})_(.*)", re.DOTALL)
"""kohya's `<repeats>_<words>`; a longer number is a year or a date."""
_REGULARISATION = re.compile(
    r"regs?([ _-]?(data|images?))?|(regulari[sz]ation|class)[ _-]?images?|regulari[sz]ation", re.IGNORECASE
)
_ASIDE = re.compile(r"_.*|logs?|models?|outputs?|samples?|caches?|masks?|backups?|trash", re.IGNORECASE)
"""Folders beside the pictures that hold others: kohya's `log` and `model`, what trainers leave, masks."""
_MOST_FOLDERS, _DEEPEST = 1000, 8


@dataclass(frozen=True)
class Layout:
    """The sources a folder is read as, and what is to say of it."""

    sources: tuple[Source, ...]
    said: tuple[Problem, ...] = ()


def read_layout(path: Path) -> Layout:
    """What a folder holds. Raises DatasetError where it can't be listed, or more folders lie below than a dataset has.

    A folder that is itself called `<repeats>_<words>` gives its words to pictures without captions.
    """
    if files_of(listing(path)):
        named = _NAMED.fullmatch(path.name)
        return Layout((Source(path, class_words=named[2].strip() if named else ""),))
    found = list(_below(path, path, set(), [0]))
    aside = [e.name for e in listing(path) if _ASIDE.fullmatch(e.name) and _is_folder(e)]
    left = (Problem("info", f"Folders left aside: {', '.join(aside)}", path=path),) if aside else ()
    kohya = [_source(f, path) for f in found if _repeats(f)]
    if any(not s.regularisation for s in kohya):
        unused = tuple(_unused(f) for f in found if not _repeats(f))
        return Layout(tuple(kohya), (_kohya_words(kohya, path), *_beside(path), *unused, *left))
    if not found:
        return Layout((Source(path),), left)
    words = f"The pictures of {len(found)} subfolder{'s' if len(found) > 1 else ''} are used"
    return Layout(tuple(_source(f, path) for f in found), (Problem("info", words, path=path), *left))


def _below(folder: Path, root: Path, seen: set[str], count: list[int]) -> Iterator[Path]:
    """Folders below with pictures right in them, by name; links that lead round in a circle are followed once."""
    for entry in listing(folder):
        inside = Path(entry.path)
        if not _is_folder(entry) or _ASIDE.fullmatch(entry.name) or (folder == root and entry.name == VALIDATION):
            continue
        count[0] += 1
        if count[0] > _MOST_FOLDERS:
            remedy = "Choose the folder that holds the pictures."
            raise DatasetError(f"More than {_MOST_FOLDERS} folders lie below this one", path=root, remedy=remedy)
        real = os.path.realpath(inside)
        if real in seen or not os.access(inside, os.R_OK | os.X_OK):
            continue
        seen.add(real)
        if files_of(listing(inside)):
            yield inside
        if len(inside.parts) - len(root.parts) < _DEEPEST:
            yield from _below(inside, root, seen, count)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _repeats(folder: Path) -> int:
    named = _NAMED.fullmatch(folder.name)
    return int(named[1]) if named else 0


def _source(folder: Path, root: Path) -> Source:
    named = _NAMED.fullmatch(folder.name)
    return Source(
        folder,
        repeats=max(1, _repeats(folder)),
        regularisation=any(_REGULARISATION.fullmatch(part) for part in folder.relative_to(root).parts),
        class_words=named[2].strip() if named else "",
    )


def _beside(path: Path) -> Iterator[Problem]:
    """Regularisation pictures beside the folder that was chosen."""
    for entry in listing(path.parent) if path.name.lower().startswith(("img", "image", "train")) else ():
        if _REGULARISATION.fullmatch(entry.name) and _is_folder(entry):
            words, remedy = "Regularisation pictures beside this folder are not used", "Choose the folder above."
            yield Problem("warning", words, remedy, Path(entry.path))


def _unused(folder: Path) -> Problem:
    message = f"{len(files_of(listing(folder)))} pictures in this subfolder are not used"
    return Problem("warning", message, "Call it <repeats>_<words> as the others are, or move it away.", folder)


def _kohya_words(sources: Sequence[Source], path: Path) -> Problem:
    trained = [s for s in sources if not s.regularisation]
    kept = len(sources) - len(trained)
    repeats = " and ".join(filter(None, (", ".join(str(s.repeats) for s in trained[:-1]), str(trained[-1].repeats))))
    said = f"kohya's layout: {len(trained)} folder{'s' if len(trained) > 1 else ''}, repeats {repeats}"
    said += f", {kept} regularisation folder{'s' if kept > 1 else ''}" if kept else ""
    trigger, words = suggested_words(sources)
    remedy = f"Its names suggest the trigger word '{trigger}'" if trigger else ""
    remedy += f" and the class word '{words}'." if trigger and words else "." if trigger else ""
    return Problem("info", said, remedy, path)


def suggested_words(sources: Sequence[Source]) -> tuple[str, str]:
    """The trigger and the class word that kohya's folders are named after: `10_sks dog`, and `1_dog` among the
    regularisation pictures; without these the first word is the trigger."""
    named = [s for s in sources if s.class_words]
    kept = next((s.class_words for s in named if s.regularisation), "")
    words = next((s.class_words for s in named if not s.regularisation), "")
    if kept and words.casefold().endswith(f" {kept.casefold()}"):
        return words[: -len(kept)].strip(), kept
    first, _, rest = words.partition(" ")
    return first, kept or rest.strip()
