"""Which pictures of a dataset a prompt is drawn from, and whether the dataset is of the kind a preset learns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from bracket.dataset.reading.media import caption_beside, items_of
from bracket.dataset.splitting import sources_of
from bracket.domain import Picture, Problem, Prompt
from bracket.errors import DatasetError
from bracket.trainers.base import Job


def shown(job: Job, prompt: Prompt) -> Picture:
    """The picture a prompt is drawn from, the same for the same text and seed: one that it is the caption of (held out
    rather than trained on), else any one that is held out.

    Raises:
        DatasetError: no picture of the dataset could be shown.
    """
    edit = job.preset.media == "edit"
    held, trained = (
        [p for p in part if p.controls or not edit] for part in (job.dataset.validation, job.dataset.train)
    )
    own = next(filter(None, (_captioned(prompt.text, part) for part in (held, trained))), [])
    own = own or _captioned(prompt.text, [p for p in all_pictures(job) if p.controls or not edit])
    choice = own or held or trained
    if not choice:
        what = "has a control picture" if edit else "can be begun with"
        remedy = "This model draws from a picture: add some to the dataset."
        raise DatasetError(f"No picture of the dataset {what}", path=job.dataset.folder, remedy=remedy)
    lot = hashlib.sha256(f"{_key(prompt.text)} {prompt.seed}".encode()).hexdigest()
    return choice[int(lot, 16) % len(choice)]


def _captioned(text: str, pictures: Iterable[Picture]) -> list[Picture]:
    return [p for p in pictures if _key(p.caption) == _key(text)]


def all_pictures(job: Job) -> Iterator[Picture]:
    """Everything the dataset's folders hold: the pictures whose captions the verdict draws are no part of the split."""
    for number, source in enumerate(sources_of(job.dataset)):
        for item in items_of(source).items:
            caption = item.caption
            if caption is None:
                caption = caption_beside(item.path, [source.caption_suffix])[0]
            yield Picture(item.path, caption or source.class_words, 0, 0, number, item.controls)


def _key(text: str) -> str:
    return " ".join(text.split()).casefold()


def dataset_problems(job: Job) -> list[Problem]:
    """What a trainer would only tell by training on something else, or on nothing."""
    found = []
    train, media = job.dataset.train, job.preset.media
    if media == "edit" and train and not any(p.controls for p in train):
        remedy = "Name their folder in the dataset file (control_directory), each called like its picture."
        message = "this model learns edits, and no picture has a control picture"
        found.append(Problem("error", message, remedy, job.dataset.folder))
    if media != "edit" and any(p.controls for p in train):
        remedy = "For edits choose a preset that learns them."
        found.append(Problem("warning", f"{job.preset.model} is trained without the control pictures", remedy))
    filmed = [s for s in job.dataset.sources if s.media == "video"]
    if filmed and media != "video":
        remedy = "Take it out of the dataset, or choose a video model."
        found.append(Problem("error", f"{job.preset.model} trains on pictures, not on clips", remedy, filmed[0].folder))
    return found
