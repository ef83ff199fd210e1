"""The graded set: pairs of a good picture and a worse one of the same prompt, made on the spot, to measure judges on.

Two sets, each with training pictures for the judges that compare with them:

- **drawings**: what the demo draws (`bracket.demo`), by the demo's own prompts.
- **photos**: windows of photographs, the user's own or the one that ships with matplotlib: Grace Hopper's portrait, a
  work of the US government and so in the public domain.

Eight kinds of worse, at five levels each. Damage to pixels (blur, noise, jpeg, melted) doubles from level to level up
to a severity of 1; the wrong subject, the wrong colour and the doubled subject grow by fifths. A copy of a training
picture is the better hidden, by darkening, the lower the level: level 5 is the very same picture. What is worse in it
only a judge that knows the training pictures can tell.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bracket.dataset import scan, split
from bracket.demo.dataset import TRIGGER_WORD, write_demo_dataset
from bracket.demo.shapes import BASE_SHAPES, COLOURS, RESOLUTION, SHAPES, Picture, all_specs, caption, draw, picture_of
from bracket.domain import DatasetSplit, Sample
from bracket.domain import Picture as DatasetPicture
from bracket.errors import DatasetError
from bracket.files import written_whole
from bracket.judges.graded import worsen
from bracket.judges.images import open_image

CONCEPT = "star"
LEVELS = (1, 2, 3, 4, 5)
KINDS = ("blur", "noise", "jpeg", "melted", "wrong subject", "wrong colour", "doubled", "copied")
CELLS = len(KINDS) * len(LEVELS)
SETS = ("drawings", "photos")
PHOTO_SIDE = 512
"""Photos are made no larger than this; smaller ones stay as they are."""
WINDOW = 0.75
"""Side of a photo's windows as a share of its short side."""
HOPPER = "a portrait photo of a woman in a dark navy uniform in front of a flag"
_HIDDEN = 0.03
"""How much darker a copy is, for every level below the highest."""

RNG = np.random.Generator


@dataclass(frozen=True)
class Pair:
    """A picture and a worse one of the same prompt and seed; `level` 1 is slightly worse, 5 ruined."""

    better: Sample
    worse: Sample
    kind: str
    level: int


@dataclass(frozen=True)
class GradedSet:
    """Pairs with the dataset that they belong to: as many of every kind and level."""

    name: str
    dataset: DatasetSplit
    pairs: tuple[Pair, ...]


def make_set(name: str, folder: Path, pairs: int = 400, seed: int = 0, own: Path | None = None) -> GradedSet:
    """One of `SETS`, its pictures written into `folder`.

    Args:
        pairs: how many at least; as many of every kind and level, so rounded up to a multiple of 40.
        own: folder of captioned photos to take instead of the one that ships.

    Raises:
        DatasetError: there is no such set, or no usable photo.
        StorageError: the folder can't be written.
    """
    if name not in SETS:
        raise DatasetError(f"there is no graded set called {name!r}", remedy=f"There are: {', '.join(SETS)}.")
    rounds = max(1, math.ceil(pairs / CELLS))
    return drawings(folder, rounds, seed) if name == "drawings" else photos(folder, rounds, seed, own)


def drawings(folder: Path, rounds: int, seed: int = 0) -> GradedSet:
    """The demo's domain: its dataset, and pictures of the prompts that it draws. Raises StorageError."""
    made = scan(write_demo_dataset(folder / "training", CONCEPT))
    dataset = split(made, trigger_word=TRIGGER_WORD, class_word=CONCEPT)
    prompts = (*dataset.prompts, *dataset.verdict_prompts)
    subjects = [(text, _specs()[text]) for text in prompts]
    pairs: list[Pair] = []
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        prompt, spec = subjects[number % len(subjects)]
        picture, writer = picture_of(spec, rng), _Writer(folder, number)
        better = writer.write("whole", worsen.whole(picture), prompt)
        worse = _worse_drawings(picture, rng)
        pairs += writer.pairs(better, ((k, n, image) for k, levels in worse.items() for n, image in levels))
        original = dataset.train[number % len(dataset.train)]
        fresh = _unlike(open_image(original.path), _specs()[original.caption], rng)
        pairs += writer.copies(original, fresh)
    return GradedSet("drawings", dataset, tuple(pairs))


def photos(folder: Path, rounds: int, seed: int = 0, own: Path | None = None) -> GradedSet:
    """Windows of photos; what is trained on is each photo's middle.

    Raises:
        DatasetError: `own` is missing or holds no still picture with a caption, or no photo ships.
        StorageError: the folder can't be written.
    """
    sources = _own_photos(own) if own else [_shipped_photo()]
    dataset = _photo_dataset(sources, folder / "training")
    pairs: list[Pair] = []
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        path, prompt = sources[number % len(sources)]
        image = _window(open_image(path), rng.random(2))
        others = [p for p, text in sources if text != prompt]
        other = open_image(others[int(rng.integers(len(others)))]) if others else _poster(rng, image.width)
        writer = _Writer(folder, number)
        better = writer.write("whole", image, prompt)
        worse = _worse_photos(image, other, rng)
        pairs += writer.pairs(better, ((k, n, i) for k, levels in worse.items() for n, i in levels))
        pairs += writer.copies(dataset.train[number % len(sources)], image)
    return GradedSet("photos", dataset, tuple(pairs))


Levels = Iterable[tuple[int, Image.Image]]


def _by_level(change: Callable[[float], Image.Image], doubling: bool = False) -> Levels:
    for level in LEVELS:
        yield level, change(2.0 ** (level - LEVELS[-1]) if doubling else level / LEVELS[-1])


def _worse_pixels(image: Image.Image, rng: RNG) -> dict[str, Levels]:
    # The waves of a melted picture stay, and only grow, from level to level.
    waves = int(rng.integers(2**32))
    return {
        "blur": _by_level(lambda s: worsen.blur(image, s), doubling=True),
        "noise": _by_level(lambda s: worsen.noise(image, s, rng), doubling=True),
        "jpeg": _by_level(lambda s: worsen.jpeg(image, s), doubling=True),
        "melted": _by_level(lambda s: worsen.melt(image, s, np.random.default_rng(waves)), doubling=True),
    }


def _worse_drawings(picture: Picture, rng: RNG) -> dict[str, Levels]:
    shape = str(rng.choice([s for s in BASE_SHAPES if s != picture.shape]))
    colour = str(rng.choice([c for c in COLOURS if c not in (picture.colour, picture.background)]))
    corner = int(rng.integers(2**32))
    return {
        **_worse_pixels(worsen.whole(picture), rng),
        "wrong subject": _by_level(lambda s: worsen.morph(picture, shape, s)),
        "wrong colour": _by_level(lambda s: worsen.recolour(picture, colour, s)),
        "doubled": _by_level(lambda s: worsen.twin(picture, s, np.random.default_rng(corner))),
    }


def _worse_photos(image: Image.Image, other: Image.Image, rng: RNG) -> dict[str, Levels]:
    place = int(rng.integers(2**32))
    return {
        **_worse_pixels(image, rng),
        "wrong subject": _by_level(lambda s: worsen.patch(image, other, s, np.random.default_rng(place))),
        "wrong colour": _by_level(lambda s: worsen.turn_hue(image, s)),
        "doubled": _by_level(lambda s: worsen.repeat_middle(image, s, np.random.default_rng(place))),
    }


@dataclass(frozen=True)
class _Writer:
    """Writes the pictures of one round; its number is also their seed."""

    folder: Path
    number: int

    def write(self, name: str, image: Image.Image, prompt: str) -> Sample:
        path = self.folder / "pictures" / f"{self.number:03d}-{name.replace(' ', '-')}.png"
        with written_whole(path) as part:
            image.save(part)
        return Sample(path, prompt, self.number, 0)

    def pairs(self, better: Sample, worse: Iterable[tuple[str, int, Image.Image]]) -> list[Pair]:
        return [Pair(better, self.write(f"{k}-{n}", image, better.prompt), k, n) for k, n, image in worse]

    def copies(self, original: DatasetPicture, fresh: Image.Image) -> list[Pair]:
        """Copies of a training picture against a picture of its caption that is none."""
        better, image = self.write("fresh", fresh, original.caption), open_image(original.path)
        hidden = ((n, worsen.darken(image, _HIDDEN * (LEVELS[-1] - n))) for n in LEVELS)
        return self.pairs(better, (("copied", n, copy) for n, copy in hidden))


def _specs() -> dict[str, tuple[str, str, str, str]]:
    """What each of the demo's captions and prompts asks to draw."""
    return {
        caption(s[0], s[1], s[2] if s[2] in BASE_SHAPES else TRIGGER_WORD, s[3]): s
        for s in all_specs((*BASE_SHAPES, CONCEPT))
    }


def _unlike(original: Image.Image, spec: tuple[str, str, str, str], rng: RNG, tries: int = 8) -> Image.Image:
    """Of a few drawings of `spec` the one least like the original."""
    drawn = draw([picture_of(spec, rng) for _ in range(tries)])
    apart = np.abs(drawn.astype(float) - np.asarray(original)).mean((1, 2, 3))
    return Image.fromarray(drawn[int(apart.argmax())])


def _own_photos(folder: Path) -> list[tuple[Path, str]]:
    found = [(p.path, p.caption.strip()) for p in scan(folder).pictures if p.width and p.caption.strip()]
    if not found:
        raise DatasetError(
            "there is no photo with a caption here", path=folder, remedy="Put a .txt with a caption beside each photo."
        )
    return found


def _shipped_photo() -> tuple[Path, str]:
    from matplotlib import cbook

    try:
        return Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)), HOPPER
    except (OSError, ValueError) as error:
        raise DatasetError("matplotlib came without its photo", remedy="Name photos of your own.") from error


def _photo_dataset(sources: Sequence[tuple[Path, str]], folder: Path) -> DatasetSplit:
    """Each photo's middle as a training picture with its caption."""
    pictures = []
    for number, (path, text) in enumerate(sources):
        image, target = _window(open_image(path), np.array([0.5, 0.5]), share=1.0), folder / f"{number:03d}.png"
        with written_whole(target) as part:
            image.save(part)
        pictures.append(DatasetPicture(target, text, image.width, image.height))
    return DatasetSplit(folder, tuple(pictures), (), tuple(dict.fromkeys(text for _, text in sources)), ())


def _window(image: Image.Image, at: np.ndarray, share: float = WINDOW) -> Image.Image:
    """A square of the picture, `share` of its short side wide; `at` (2,), 0..1, is where between left and right, top
    and bottom."""
    side = min(image.size) * share
    left, top = (float(a) * (n - side) for a, n in zip(at, image.size, strict=True))
    target = max(1, min(PHOTO_SIDE, round(side)))
    return image.resize((target, target), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def _poster(rng: RNG, side: int) -> Image.Image:
    """A drawing, where there is no second photo to be the wrong subject."""
    specs = all_specs(SHAPES)
    return Image.fromarray(draw([picture_of(specs[int(rng.integers(len(specs)))], rng)], max(side, RESOLUTION))[0])
