"""A folder of links to the pictures that a trial trains on, with captions of their own beside them.

Trainers take folders, keep their caches in them and read captions from files; links give each of them exactly the
pictures wanted, under names they can tell apart, and leave the user's folders alone. `.links.json` remembers what was
made here and from what, so that a second call touches only what changed.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bracket.dataset.reading.headers import as_png
from bracket.dataset.reading.media import (
    CAPTION_SUFFIXES,
    SUFFIXES,
    caption_beside,
    files_of,
    further_targets,
    items_of,
    listing,
)
from bracket.dataset.splitting import sources_of
from bracket.dataset.writing.dialects import folder_name
from bracket.domain import DatasetSplit, Picture, Source
from bracket.errors import DatasetError, StorageError
from bracket.files import read_json, storage_errors, write_json, write_text, written_whole

RECORD = ".links.json"
_READ_BY_ALL = frozenset({".png", ".jpg", ".jpeg", ".webp"})
_JPEG = frozenset({".jpe", ".jfif", ".jif"})
_REWRITTEN = frozenset({".avif", ".tga", ".dib"})
"""Kinds that a trainer's Pillow may not read, or not know by their bytes: they are written anew as PNG."""
_LISTS = ("image_jsonl_file", "video_jsonl_file", "metadata_file", "cache_directory")


@dataclass(frozen=True)
class _Link:
    """A link to make: where, and to what. A text is written instead where `target` is None."""

    place: str
    target: Path | None
    text: str = ""


def link_pictures(split: DatasetSplit, pictures: Sequence[Picture], folder: Path) -> tuple[Source, ...]:
    """Makes `folder/<n>-<name>/` for every source, with links to its pictures and `<stem>.txt` captions.

    A link is symbolic, else hard, else a copy, whatever the system allows. Names stay those of the pictures; where two
    of a dataset share a stem, or a trainer would confuse their controls, the later one gets a number in front, the same
    in every call with this split. Control pictures lie under the picture's stem in `<n>-<name>-control/`; with several
    a picture, the first ones lie in `-control-1`, the second in `-control-2`, and all of them in `-control/` as
    `<stem>_<k>`, which the option `control_directory` of the source then names. Regularisation sources are linked
    whole; other sources without a picture among `pictures` are left out.

    A second call changes what changed: a picture or caption that is another one takes the caches that trainers made of
    it with it, other caches stay. A caption of a picture that has none is an empty line: sd-scripts fails on a file of
    no lines, musubi-tuner leaves out pictures without a file.

    Args:
        split: all of the dataset; names depend on it, not on the choice of pictures.
        pictures: those wanted, of `split`.
        folder: nothing outside it is written; it should hold nothing else.

    Raises:
        DatasetError: a file that was not made here stands in the way, or a picture is gone.
        StorageError: the folder can't be written.
    """
    folder = folder.expanduser().absolute()
    sources = sources_of(split)
    known = _by_source((*split.train, *split.validation, *pictures))
    wanted = _by_source(pictures)
    links: list[_Link] = []
    made = []
    for number, source in enumerate(sources):
        here, all_of_it = wanted.get(number, []), known.get(number, [])
        if source.regularisation:
            here = all_of_it = _whole(source, number)
        if not here:
            continue
        further = _further(source)
        names = _names(all_of_it, paired=bool(further) or any(p.controls for p in all_of_it))
        at = f"{number}-{folder_name(source)}"
        links += _picture_links(here, names, at, further)
        controls, more = _control_links(links, here, names, at)
        made.append(_linked(source, folder, at, controls, more))
    _bring_about(folder, links)
    return tuple(made)


def _by_source(pictures: Iterable[Picture]) -> dict[int, list[Picture]]:
    """By number of source, each path once, in order of path."""
    found: dict[int, dict[Path, Picture]] = defaultdict(dict)
    for picture in pictures:
        found[picture.source][picture.path] = picture
    return {n: [p[k] for k in sorted(p)] for n, p in found.items()}


def _whole(source: Source, number: int) -> list[Picture]:
    pictures = []
    for item in items_of(source).items:
        suffixes = dict.fromkeys((source.caption_suffix, *CAPTION_SUFFIXES))
        caption = item.caption if item.caption is not None else caption_beside(item.path, list(suffixes))[0]
        pictures.append(Picture(item.path, caption or source.class_words, 0, 0, number, item.controls))
    return pictures


def _further(source: Source) -> dict[Path, list[Path]]:
    """The further targets of its pictures, where it has such."""
    if not source.options.get("multiple_target"):
        return {}
    return further_targets(files_of(listing(source.folder)), source)


def _names(pictures: Sequence[Picture], *, paired: bool) -> dict[Path, str]:
    """A stem for every picture, none of them another's, nor (in pairs) the start of the name of what is another's."""
    taken: set[str] = set()
    starts: set[str] = set()
    names = {}
    for picture in pictures:
        number, name = 1, picture.path.stem
        while (key := name.casefold()) in taken or (paired and (key in starts or _cuts(key) & taken)):
            number += 1
            name = f"{number}-{picture.path.stem}"
        taken.add(key)
        starts |= _cuts(key)
        names[picture.path] = name
    return names


def _cuts(name: str) -> set[str]:
    """The parts of a name before each of its underscores and dots: where musubi-tuner looks for a control's owner."""
    return {name[:i] for i, sign in enumerate(name) if sign in "_."}


def _picture_links(
    pictures: Sequence[Picture], names: Mapping[Path, str], at: str, further: Mapping[Path, Sequence[Path]]
) -> Iterator[_Link]:
    for picture in pictures:
        name = names[picture.path]
        yield _Link(f"{at}/{name}{_suffix(picture.path)}", picture.path)
        yield _Link(f"{at}/{name}.txt", None, picture.caption + "\n")
        for k, target in enumerate(further.get(picture.path, ())):
            yield _Link(f"{at}/{name}_{k}{_suffix(target)}", target)


def _suffix(path: Path) -> str:
    """Its own, in lower case. Trainers find pictures by few endings but read them by content: others become .png."""
    suffix = "" if path.is_dir() else path.suffix.lower()
    if suffix in _JPEG:
        return ".jpg"
    return ".png" if suffix in SUFFIXES - _READ_BY_ALL else suffix


def _control_links(
    links: list[_Link], pictures: Sequence[Picture], names: Mapping[Path, str], at: str
) -> tuple[list[str], str]:
    """Adds the links of controls. The folders by place of the control, and the one of all where there are several."""
    most = max(len(p.controls) for p in pictures)
    folders = [f"{at}-control"] if most == 1 else [f"{at}-control-{k}" for k in range(1, most + 1)]
    for picture in pictures:
        for k, (control, place) in enumerate(zip(picture.controls, folders, strict=False)):
            name, suffix = names[picture.path], _suffix(control)
            links.append(_Link(f"{place}/{name}{suffix}", control))
            if most > 1:
                links.append(_Link(f"{at}-control/{name}_{k}{suffix}", control))
    return folders if most else [], f"{at}-control" if most > 1 else ""


def _linked(source: Source, folder: Path, at: str, controls: Sequence[str], together: str) -> Source:
    options = {k: v for k, v in source.options.items() if k not in _LISTS}
    if together:
        options["control_directory"] = str(folder / together)
    return replace(
        source,
        folder=folder / at,
        caption_suffix=".txt",
        class_words="",
        controls=tuple(folder / c for c in controls),
        options=options,
    )


def _bring_about(folder: Path, links: Sequence[_Link]) -> None:
    """Makes the folder hold these links and no other ones of ours."""
    record = folder / RECORD
    before = _read_record(record)
    wanted = {link.place: _made_of(link) for link in links}
    if before == wanted and all(os.path.lexists(folder / place) for place in wanted):
        return
    for at in {p.partition("/")[0] for p in (*before, *wanted)}:
        if (folder / at).is_symlink():
            raise DatasetError("This folder of links is itself a link", path=folder / at, remedy="Remove it.")
    stale = {p for p, was in before.items() if wanted.get(p) != was}
    with storage_errors(folder):
        for link in links:
            if link.place not in before and os.path.lexists(folder / link.place):
                message = "A file that bracket did not make stands here"
                raise DatasetError(message, path=folder / link.place, remedy="Move it away.")
        write_json(record, wanted | before)  # first, so that what a kill leaves here is known as ours
        _remove_caches(folder, before, stale)
        for place in stale:
            _remove(folder / place)
        for link in links:
            if not os.path.lexists(folder / link.place):
                _make(folder / link.place, link)
        write_json(record, wanted)
        for at in {place.partition("/")[0] for place in stale}:
            if (folder / at).is_dir() and not any((folder / at).iterdir()):
                (folder / at).rmdir()


def _made_of(link: _Link) -> list[object]:
    """What the record keeps of a link; another value means that the picture, or what it says, is another one."""
    if link.target is None:
        return ["", link.text]
    try:
        str(link.target).encode()
        stat = link.target.stat()
    except UnicodeEncodeError as error:
        raise DatasetError("This name is not Unicode", path=link.target, remedy="Rename it.") from error
    except OSError as error:
        raise DatasetError("This picture is gone", path=link.target, remedy="Check the dataset.") from error
    return [str(link.target), 0 if link.target.is_dir() else stat.st_size, stat.st_mtime_ns]


def _read_record(path: Path) -> dict[str, list[object]]:
    if not path.exists():
        return {}
    try:
        record = read_json(path)
    except StorageError:
        record = None
    if not isinstance(record, dict) or not all(isinstance(v, list) and _inside(k) for k, v in record.items()):
        raise DatasetError("The record of these links is damaged", path=path, remedy="Remove its folder.")
    return record


def _inside(place: str) -> bool:
    """Whether a place of the record is `<folder>/<name>`: the record must never lead outside."""
    at, _, name = place.partition("/")
    return all(part not in ("", ".", "..") and "/" not in part for part in (at, name)) and Path(at).name == at


def _remove_caches(folder: Path, before: Mapping[str, object], stale: Collection[str]) -> None:
    """What trainers cached of changed pictures: `<stem>_*.npz` beside them, `_latent_cache/<stem>_*` and the like."""
    stems: dict[str, set[str]] = defaultdict(set)
    changed: dict[str, set[str]] = defaultdict(set)
    for place in before:
        at, _, name = place.partition("/")
        stems[at].add(Path(name).stem)
        if place in stale:
            changed[at.partition("-")[0]].add(Path(name).stem)
    for at, known in stems.items():
        for path in (*(folder / at).glob("*.npz"), *(folder / at).glob("_*_cache/*.safetensors")):
            owner = max(known & _cuts(path.name), key=len, default="")
            if owner in changed[at.partition("-")[0]]:
                path.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
    elif not path.is_symlink():
        shutil.rmtree(path)  # the copy of a folder of frames
    elif os.name == "nt":
        path.rmdir()
    else:
        path.unlink()


def _make(path: Path, link: _Link) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if link.target is None:
        write_text(path, link.text)
        return
    target = link.target.absolute()
    if target.suffix.lower() in _REWRITTEN:
        with written_whole(path) as part:
            as_png(target, part)
        return
    try:
        path.symlink_to(target, target.is_dir())
    except FileExistsError:  # made by another call at the same time
        return
    except (OSError, NotImplementedError):  # Windows lets not everybody
        try:
            os.link(target.resolve(), path)
        except FileExistsError:
            return
        except (OSError, NotImplementedError):  # another disk, or one without hard links
            _copy(target, path)


def _copy(target: Path, path: Path) -> None:
    """Whole or not at all."""
    part = path.with_name(f".{os.getpid()}.part")
    try:
        if target.is_dir():
            shutil.copytree(target, part)
        else:
            shutil.copy2(target, part)
        os.replace(part, path)
    finally:
        if os.path.lexists(part):
            _remove(part)
