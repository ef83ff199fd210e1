"""Prompts for the verdict that a vision-language model writes, for a person to read, mend and keep.

It is shown training pictures with their captions and asked for one prompt at a time, each with a wish of its own, so
that they range over scene, light, pose, distance and style as training pictures don't.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import cycle, islice

from bracket.dataset.fresh import key
from bracket.dataset.reading.prompts import has_word, one_line
from bracket.domain import DatasetSplit, Picture
from bracket.errors import JudgeError
from bracket.judges.asking import Asker, Question
from bracket.judges.vlm.quoting import DATA_RULE, clean, fenced

WISHES = (
    "in a place that none of these pictures shows", "close up, filling the picture", "far away in a landscape",
    "at night with artificial light", "in hard midday sun", "in rain or snow", "seen from above", "from behind",
    "together with other people or animals", "as a pencil drawing", "in the style of an oil painting",
    "doing something unexpected", "indoors in a busy room", "with strong colours", "in black and white",
    "as a photograph taken in a hurry", "in a long past century", "under water or in the sky", "beside something huge",
    "in soft light against a plain background",
)  # fmt: skip
LONGEST = 400
"""Characters of a prompt that is kept; a model that explains itself writes more."""
_SHOWN, _CAPTIONS = 2, 5
_SYSTEM = f"You write prompts for a model that draws pictures. {DATA_RULE}"
_QUOTES = "\"'\u201c\u201d\u2018\u2019`* "
_LABEL = re.compile(
    r"^(?:-(?!-)|[*•]|\d+[.)]|(?:here is |here's )?(?:a |the |your )?(?:new )?(?:prompt|caption)\s*:)\s*", re.I
)


def draft(asker: Asker, dataset: DatasetSplit, count: int, known: Sequence[str] = ()) -> Iterator[str]:
    """So many prompts at most, one after the other as they are written. What can't be used is left out: no prompt, one
    without the trigger word where there is one, one that is known already.

    Args:
        dataset: its training pictures are shown, few with each question; known: prompts there are.

    Raises:
        JudgeError: there is no picture to show, or the model can't be used.
        JudgeUnavailable: it can't be asked now.
    """
    pictures = [p for p in dataset.train if p.width]
    if not pictures:
        raise JudgeError("there is no training picture to show the judge", remedy="Name a folder of pictures first.")
    taken = {*map(key, known), *(key(p.caption) for p in dataset.train)}
    for number, wish in enumerate(islice(cycle(WISHES), count)):
        shown = [pictures[(number * _SHOWN + i) % len(pictures)] for i in range(min(_SHOWN, len(pictures)))]
        found = cleaned(asker.ask([_question(dataset, shown, wish)], repeats=1)[0].texts, dataset.trigger_word)
        if found and key(found) not in taken:
            taken.add(key(found))
            yield found


def cleaned(texts: Sequence[str], trigger_word: str) -> str:
    """The prompt in what a model wrote, on one line; "" where it wrote none that can be used."""
    lines = [line for line in (texts[0] if texts else "").strip().splitlines() if line.strip("`*# ")]
    text = _LABEL.sub("", one_line(lines[0] if lines else "")).strip(_QUOTES)
    # What begins with two dashes would be read as a flag.
    text = re.split(r"(?:^|\s)--", text)[0].strip()
    unfit = not text or len(text) > LONGEST or (trigger_word and not has_word(text, trigger_word))
    return "" if unfit else text


def _question(dataset: DatasetSplit, shown: Sequence[Picture], wish: str) -> Question:
    captions = [clean(p.caption) for p in (*shown, *dataset.train) if p.caption]
    told = fenced("\n".join(list(dict.fromkeys(captions))[:_CAPTIONS])) if captions else ""
    name, word = clean(dataset.trigger_word), clean(dataset.class_word)
    what = f'"{name}"{f" ({word})" if word else ""}' if name else word or "what they show"
    named = f' The prompt must name "{name}", written exactly so.' if name else ""
    text = (
        f"These are training pictures of {what}.{' Captions of such pictures:' + told if told else ''}\n"
        f"Write one prompt, worded as such a caption is, for a new picture of {what}: {wish}.{named} "
        "Answer with the prompt alone, on one line."
    )
    return Question(_SYSTEM, text, tuple(p.path for p in shown), ())
