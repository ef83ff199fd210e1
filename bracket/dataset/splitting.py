"""Who trains, who is held out: a split that depends on nothing but the folder's names, its captions and a seed.

What proves the winner must not have helped to choose it: the verdict's prompts are never the caption of a picture that
is trained or validated on, nor one of the search's prompts.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bracket.dataset.prompts import PROMPTS, TRIGGER, VERDICT_PROMPTS, one_line, read_prompts
from bracket.dataset.scanning import Scan
from bracket.domain import DatasetSplit, Picture, Problem, Source
from bracket.errors import DatasetError

VALIDATION_SHARE = 0.10
VERDICT_SHARE = 0.15
FEWEST_TO_HOLD_OUT = 6
"""With fewer pictures every one of them is trained on."""
FEWEST_PROMPTS = 4
"""Where held-out captions give fewer search prompts, captions of training pictures fill up to this many."""


def split(
    scan: Scan,
    seed: int = 0,
    *,
    validation: int = 8,
    prompts: int = 12,
    verdict: int = 20,
    trigger_word: str = "",
    class_word: str = "",
    per_folder: int = 0,
) -> DatasetSplit:
    """Parts the pictures of a scan; the three counts are the most that is taken, small datasets give less.

    - Validation: the pictures in the subfolder `validation`; else a tenth of the pictures.
    - Search prompts: `prompts.txt`; else the captions of the validation pictures.
    - Verdict prompts: `verdict_prompts.txt`; else the captions of another 15 % of the pictures, which are then neither
      trained nor validated on.

    The order in which pictures are held out comes from a hash of seed and file name, so a picture more or less changes
    little. Pictures that exist twice are never held out: their twin would be trained on. One that several sources hold
    (in several resolutions, say) counts once, and is held out of all of them.

    Args:
        per_folder: the most pictures trained on of every source, the first in that order; 0 takes all. What is held out
            and the prompts are the same for any value.

    Raises:
        DatasetError: a prompt file can't be read or understood.
    """
    order = sorted({p.path: p for p in reversed(scan.pictures)}.values(), key=lambda p: _rank(seed, p, scan))
    eligible = _eligible(order, scan)
    lines = _lines_of(scan.folder / PROMPTS, trigger_word)
    verdict_lines = _lines_of(scan.folder / VERDICT_PROMPTS, trigger_word)
    written, written_verdict = (_distinct(own) or None for own in (lines, verdict_lines))

    count = len(order)
    held: tuple[Picture, ...] = ()
    if not scan.validation:
        held = tuple(eligible[: _share(count, VALIDATION_SHARE, validation)])
    kept_for_verdict: list[Picture] = []
    if written_verdict is None:
        free = _unlike(eligible[len(held) :], scan, held, written or ())
        kept_for_verdict = free[: _share(count, VERDICT_SHARE, verdict)]
    away = {p.path for p in (*held, *kept_for_verdict)}
    train = tuple(p for p in scan.pictures if p.path not in away)
    validating = scan.validation[:validation] or held

    search = written if written is not None else _captions(validating)
    if written is None and len(search) < FEWEST_PROMPTS:
        trained = _captions(p for p in order if p.path not in away)
        search = _distinct([*search, *trained])[: max(len(search), FEWEST_PROMPTS)]
    search = search[:prompts]
    known = {_key(t) for t in (*search, *_captions(train), *_captions(validating))}
    fresh = written_verdict if written_verdict is not None else _captions(kept_for_verdict)
    return DatasetSplit(
        folder=scan.folder,
        train=_first_of_each(train, seed, scan, per_folder) if per_folder else train,
        validation=validating,
        prompts=search,
        verdict_prompts=tuple(t for t in fresh if _key(t) not in known)[:verdict],
        trigger_word=trigger_word,
        class_word=class_word,
        sources=scan.sources,
        options=scan.options,
        drawn={text: flags for text, flags in (verdict_lines | lines).items() if flags},
    )


def sources_of(split: DatasetSplit) -> tuple[Source, ...]:
    """Its sources; the folder itself where it names none."""
    return split.sources or (Source(split.folder),)


def split_problems(scan: Scan, made: DatasetSplit) -> list[Problem]:
    """What the split could not hold out, or left out, and how to mend it."""
    found = []
    if not made.train and scan.pictures:
        found.append(Problem("error", "No picture is left to train on", "Add pictures.", scan.folder))
    if not made.prompts:
        remedy = f"Caption the pictures, or write {PROMPTS}: one prompt a line."
        found.append(Problem("error", "There is nothing to draw in the search", remedy, scan.folder))
    elif not (scan.folder / PROMPTS).exists() and (shared := _shared(made.prompts, _captions(made.train))):
        remedy = f"Write {PROMPTS}, or add pictures."
        message = f"{shared} of {len(made.prompts)} search prompts are captions of training pictures"
        found.append(Problem("warning", message, remedy, scan.folder))
    if not made.validation:
        remedy = f"Add pictures, or put some into a subfolder named validation; {FEWEST_TO_HOLD_OUT} are enough."
        found.append(Problem("warning", "No picture is held out for the validation loss", remedy, scan.folder))
    if not made.verdict_prompts:
        remedy = f"Write {VERDICT_PROMPTS}: one prompt a line, none of them a caption or a search prompt."
        message = "No prompt is left for the verdict, so nothing can be proved"
        found.append(Problem("warning", message, remedy, scan.folder))
    found += _left_out(scan.folder / VERDICT_PROMPTS, made)
    return found


def split_to_json(split: DatasetSplit) -> dict[str, Any]:
    """As plain data; pictures by their path within the dataset's folder."""
    return {
        "folder": str(split.folder),
        "trigger_word": split.trigger_word,
        "class_word": split.class_word,
        "prompts": list(split.prompts),
        "verdict_prompts": list(split.verdict_prompts),
        "train": [_picture_to_json(p, split.folder) for p in split.train],
        "validation": [_picture_to_json(p, split.folder) for p in split.validation],
        "sources": [_source_to_json(s) for s in split.sources],
        "options": dict(split.options),
        "drawn": {text: dict(flags) for text, flags in split.drawn.items()},
        "themes": dict(split.themes),
    }


def split_from_json(data: Mapping[str, Any]) -> DatasetSplit:
    """The inverse of `split_to_json`. Raises DatasetError where something is missing or of another type."""
    try:
        folder = Path(data["folder"])
        return DatasetSplit(
            folder=folder,
            train=tuple(_picture_from_json(p, folder) for p in data["train"]),
            validation=tuple(_picture_from_json(p, folder) for p in data["validation"]),
            prompts=tuple(str(p) for p in data["prompts"]),
            verdict_prompts=tuple(str(p) for p in data["verdict_prompts"]),
            trigger_word=str(data["trigger_word"]),
            class_word=str(data["class_word"]),
            sources=tuple(_source_from_json(s) for s in data.get("sources", ())),
            options=dict(data.get("options", {})),
            drawn=dict(data.get("drawn", {})),
            themes=dict(data.get("themes", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DatasetError(f"The saved split is damaged: {reason}", remedy="Start a new session.") from error


def _picture_to_json(picture: Picture, folder: Path) -> dict[str, Any]:
    path = picture.path.relative_to(folder) if picture.path.is_relative_to(folder) else picture.path
    said = {"path": path.as_posix(), "caption": picture.caption, "width": picture.width, "height": picture.height}
    more = {"source": picture.source, "controls": [c.as_posix() for c in picture.controls]}
    return said | {k: v for k, v in more.items() if v}


def _picture_from_json(data: Mapping[str, Any], folder: Path) -> Picture:
    return Picture(
        path=folder / data["path"],
        caption=str(data["caption"]),
        width=int(data["width"]),
        height=int(data["height"]),
        source=int(data.get("source", 0)),
        controls=tuple(Path(c) for c in data.get("controls", ())),
    )


def _source_to_json(source: Source) -> dict[str, Any]:
    plain = {"folder": source.folder.as_posix(), "controls": [c.as_posix() for c in source.controls]}
    return asdict(source) | plain | {"options": dict(source.options)}


def _source_from_json(data: Mapping[str, Any]) -> Source:
    controls = tuple(Path(c) for c in data["controls"])
    return Source(**{**data, "folder": Path(data["folder"]), "controls": controls})


def _rank(seed: int, picture: Picture, scan: Scan) -> bytes:
    """A draw by lot that depends on the seed and on where in the dataset the picture lies, not on the machine."""
    homes = [scan.folder, *(s.folder for s in scan.sources)]
    home = next((h for h in homes if picture.path.is_relative_to(h)), picture.path.parent)
    return hashlib.sha256(f"{seed}\0{picture.path.relative_to(home).as_posix()}".encode()).digest()


def _first_of_each(pictures: Sequence[Picture], seed: int, scan: Scan, count: int) -> tuple[Picture, ...]:
    """At most `count` pictures of every source, in the order they came in."""
    lots: dict[int, list[bytes]] = defaultdict(list)
    for picture in pictures:
        lots[picture.source].append(_rank(seed, picture, scan))
    last = {number: sorted(ranks)[:count][-1] for number, ranks in lots.items()}
    return tuple(p for p in pictures if _rank(seed, p, scan) <= last[p.source])


def _share(count: int, share: float, most: int) -> int:
    return 0 if count < FEWEST_TO_HOLD_OUT else min(most, max(1, round(count * share)))


def _eligible(order: Sequence[Picture], scan: Scan) -> list[Picture]:
    """Captioned pictures without a twin, those whose caption no other picture has first: they make fresh prompts."""
    twins = {path for group in scan.duplicates for path in group}
    shared = Counter(_key(p.caption) for p in order)
    able = [p for p in order if p.path not in twins and p.caption]
    return sorted(able, key=lambda p: shared[_key(p.caption)] > 1)


def _unlike(eligible: Iterable[Picture], scan: Scan, held: Iterable[Picture], written: Iterable[str]) -> list[Picture]:
    """Those whose caption nobody else has: keeping another one from training would make no fresh prompt."""
    shared = Counter(_key(p.caption) for p in (*scan.pictures, *scan.validation))
    known = {*map(_key, written), *(_key(p.caption) for p in held)}
    return [p for p in eligible if shared[_key(p.caption)] == 1 and _key(p.caption) not in known]


def _lines_of(path: Path, trigger_word: str) -> dict[str, Mapping[str, str]]:
    """The prompts of a file and their flags, the first of equal ones; {} when it is not there."""
    found: dict[str, Mapping[str, str]] = {}
    for line in read_prompts(path) if path.exists() else ():
        found.setdefault(line.text.replace(TRIGGER, trigger_word), line.flags)
    return found


def _captions(pictures: Iterable[Picture]) -> tuple[str, ...]:
    return _distinct(one_line(p.caption) for p in pictures if p.caption)


def _distinct(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple({_key(t): t for t in reversed(list(texts))}.values())[::-1]


def _key(text: str) -> str:
    """Texts with the same key ask for the same picture."""
    return " ".join(text.casefold().split()).rstrip(".")


def _shared(a: Iterable[str], b: Iterable[str]) -> int:
    return len({_key(t) for t in a} & {_key(t) for t in b})


def _left_out(path: Path, made: DatasetSplit) -> list[Problem]:
    """Prompts of the verdict's file that are no fresh ones."""
    written = _distinct(_lines_of(path, made.trigger_word))
    overlap = _shared(written, (*made.prompts, *_captions(made.train), *_captions(made.validation)))
    if not overlap:
        return []
    remedy = "Write other prompts in their place."
    message = f"{overlap} of {len(written)} verdict prompts are also captions or search prompts and were left out"
    return [Problem("warning", message, remedy, path)]
