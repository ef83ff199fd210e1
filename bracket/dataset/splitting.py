"""Who trains, who is held out: a split that depends on nothing but the folder's names, its captions and a seed.

What is drawn then, `bracket.dataset.fresh` says.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bracket.dataset.bank import Subject
from bracket.dataset.fresh import (
    PromptChoice,
    bank_of,
    captions,
    distinct,
    keep_prompts,
    key,
    own_prompts,
    recombined,
    search_prompts,
    verdict_prompts,
)
from bracket.dataset.reading.prompts import PROMPTS, VERDICT_PROMPTS
from bracket.dataset.reading.scanning import Scan
from bracket.domain import DatasetSplit, Picture, Problem, Source
from bracket.errors import DatasetError

VALIDATION_SHARE, FEWEST_VALIDATING = 0.10, 3
"""A loss on fewer pictures than that is mostly chance."""
FEWEST_TO_HOLD_OUT = 12
"""With fewer pictures every one of them is trained on."""
VERDICT_SHARE, MANY = 0.05, 100
"""Of so many pictures and more, this share is kept for its captions; fewer are worth more in training, since the bank
has prompts too."""


def split(
    scan: Scan,
    seed: int = 0,
    *,
    validation: int = 8,
    prompts: int = 12,
    verdict: int = 20,
    verdict_pictures: int = 20,
    trigger_word: str = "",
    class_word: str = "",
    per_folder: int = 0,
    choice: PromptChoice = PromptChoice(),
) -> DatasetSplit:
    """Parts the pictures of a scan; the four counts are the most that is taken, small datasets give fewer pictures.

    - Validation: the pictures in the subfolder `validation`; else, from twelve on, a tenth of them and at least three.
    - Search prompts: the person's own alone; else the captions of the validation pictures, and then the bank's.
    - Verdict prompts: the person's own; then the captions of another 5 % of the pictures where there are a hundred,
      which are then neither trained nor validated on; then the bank's; then captions' parts put together anew.
    - Prompts that show what is kept: the verdict's without the trigger word, and where these are few, the bank's beside
      them, which the duel does not count.

    The order in which pictures are held out comes from a hash of seed and file name, so a picture more or less changes
    little. Pictures that exist twice are never held out: their twin would be trained on. One that several sources hold
    (in several resolutions, say) counts once, and is held out of all of them.

    Args:
        per_folder: the most pictures trained on of every source, the first in that order; 0 takes all. What is held out
            and the prompts are the same for any value.

    Raises:
        DatasetError: a prompt file, or a prompt of the person's own, can't be read or understood.
    """
    order = sorted({p.path: p for p in reversed(scan.pictures)}.values(), key=lambda p: _rank(seed, p, scan))
    eligible = _eligible(order, scan)
    own = own_prompts(scan.folder, choice, trigger_word)
    held = () if scan.validation else _held_out(eligible, len(order), validation)
    free = _unlike(eligible[len(held) :], scan, held, own.search)
    many = round(len(order) * VERDICT_SHARE) if len(order) >= MANY else 0
    kept = free[: max(0, min(verdict_pictures, verdict - len(own.verdict), many))]
    away = {p.path for p in (*held, *kept)}
    train = tuple(p for p in scan.pictures if p.path not in away)
    validating = scan.validation[:validation] or held

    told = captions(scan.pictures)
    subject, clips = Subject(trigger_word, class_word, told), any(not p.width for p in scan.pictures)
    kind, choosing, proving, plain = bank_of(choice, subject, seed, clips=clips)
    search = search_prompts(own, validating, [p for p in order if p.path not in away], choosing, prompts)
    known = (*captions(train), *captions(validating))
    parts = recombined(captions(train), trigger_word)
    fresh = verdict_prompts(own, kept, proving, parts, verdict, known, search)
    keep = keep_prompts(fresh, plain, (*known, *told, *search.texts), trigger_word)
    origins = keep.origins | search.origins | fresh.origins
    return DatasetSplit(
        folder=scan.folder,
        train=_first_of_each(train, seed, scan, per_folder) if per_folder else train,
        validation=validating,
        prompts=tuple(search.texts),
        verdict_prompts=tuple(fresh.texts),
        trigger_word=trigger_word,
        class_word=class_word,
        sources=scan.sources,
        options=scan.options,
        drawn={text: flags for text, flags in {**own.verdict, **own.search}.items() if flags},
        themes=keep.themes | search.themes | fresh.themes,
        origins=origins,
        kind=kind if "bank" in origins.values() else "",
        keep_prompts=tuple(keep.texts),
    )


def sources_of(split: DatasetSplit) -> tuple[Source, ...]:
    """Its sources; the folder itself where it names none."""
    return split.sources or (Source(split.folder),)


def split_problems(scan: Scan, made: DatasetSplit, choice: PromptChoice = PromptChoice()) -> list[Problem]:
    """What the split could not hold out, or left out, and how to mend it."""
    found = []
    if not made.train and scan.pictures:
        found.append(Problem("error", "No picture is left to train on", "Add pictures.", scan.folder))
    own = [text for text in made.prompts if made.origins.get(text) == "own"]
    if not made.prompts:
        remedy = f"Caption the pictures, write {PROMPTS} (one prompt a line), or take the bank's prompts."
        found.append(Problem("error", "There is nothing to draw in the search", remedy, scan.folder))
    elif not own and (shared := _shared(made.prompts, captions(made.train))):
        remedy = f"Write {PROMPTS}, or take the bank's prompts."
        message = f"{shared} of {len(made.prompts)} search prompts are captions of training pictures"
        found.append(Problem("warning", message, remedy, scan.folder))
    if not made.validation:
        remedy = f"Add pictures ({FEWEST_TO_HOLD_OUT} are enough), or put three into a subfolder named validation."
        found.append(Problem("warning", "No picture is held out for the validation loss", remedy, scan.folder))
    if not made.verdict_prompts:
        remedy = f"Write {VERDICT_PROMPTS}: one prompt a line, none of them a caption or a search prompt."
        message = "No prompt is left for the verdict, so nothing can be proved"
        found.append(Problem("warning", message, remedy, scan.folder))
    return found + _left_out(scan, made, choice)


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
        "origins": dict(split.origins),
        "kind": split.kind,
        "keep_prompts": list(split.keep_prompts),
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
            origins=dict(data.get("origins", {})),
            kind=str(data.get("kind", "")),
            keep_prompts=tuple(map(str, data.get("keep_prompts", ()))),
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


def _held_out(eligible: Sequence[Picture], count: int, most: int) -> tuple[Picture, ...]:
    """The validation pictures of `count`, `most` at most; none where too few can be had for a loss that says much."""
    if count < FEWEST_TO_HOLD_OUT:
        return ()
    held = tuple(eligible[: min(most, max(FEWEST_VALIDATING, round(count * VALIDATION_SHARE)))])
    return held if len(held) >= min(most, FEWEST_VALIDATING) else ()


def _eligible(order: Sequence[Picture], scan: Scan) -> list[Picture]:
    """Captioned pictures without a twin, those whose caption no other picture has first: they make fresh prompts."""
    twins = {path for group in scan.duplicates for path in group}
    shared = Counter(key(p.caption) for p in order)
    able = [p for p in order if p.path not in twins and p.caption]
    return sorted(able, key=lambda p: shared[key(p.caption)] > 1)


def _unlike(eligible: Iterable[Picture], scan: Scan, held: Iterable[Picture], written: Iterable[str]) -> list[Picture]:
    """Those whose caption nobody else has: keeping another one from training would make no fresh prompt."""
    shared = Counter(key(p.caption) for p in (*scan.pictures, *scan.validation))
    known = {*map(key, written), *(key(p.caption) for p in held)}
    return [p for p in eligible if shared[key(p.caption)] == 1 and key(p.caption) not in known]


def _shared(a: Iterable[str], b: Iterable[str]) -> int:
    return len({key(t) for t in a} & {key(t) for t in b})


def _left_out(scan: Scan, made: DatasetSplit, choice: PromptChoice) -> list[Problem]:
    """Verdict prompts of the person's own that are no fresh ones."""
    written = distinct(own_prompts(scan.folder, choice, made.trigger_word).verdict)
    overlap = _shared(written, (*made.prompts, *captions(made.train), *captions(made.validation)))
    if not overlap:
        return []
    remedy = "Write other prompts in their place."
    message = f"{overlap} of {len(written)} verdict prompts are also captions or search prompts and were left out"
    path = scan.folder / VERDICT_PROMPTS
    return [Problem("warning", message, remedy, path if path.exists() else None)]
