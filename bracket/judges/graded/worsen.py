"""Ways to make a picture worse by a known amount, for measuring judges: nothing here was used to train one.

A severity of 0 is hardly worse, 1 leaves little of the picture. Lengths go with the picture's side, so that a drawing
of 64 pixels and a photo of 512 are worse by the same share. Random choices come from `rng`, a numpy Generator.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bracket.demo.shapes import COLOURS, RESOLUTION, Picture, draw, signed_distance

RNG = np.random.Generator
Pixels = NDArray[np.uint8]


def blur(image: Image.Image, severity: float) -> Image.Image:
    """Gaussian blur of 1/64 to 10/64 of the side."""
    return image.filter(ImageFilter.GaussianBlur(float(1 + 9 * severity) * _scale(image)))


def noise(image: Image.Image, severity: float, rng: RNG) -> Image.Image:
    """Gaussian noise of 20 to 170 grey levels a channel."""
    pixels = np.asarray(image)
    return Image.fromarray(_clip(pixels + rng.normal(0, 20 + 150 * severity, pixels.shape)))


def jpeg(image: Image.Image, severity: float) -> Image.Image:
    """Made smaller, saved as JPEG of quality 40 to 1, and made large again.

    JPEG's blocks are 8 pixels wide whatever the picture's size, so a large one suffers less.
    """
    small = image.resize([max(4, int(n * (1 - severity) ** 2)) for n in image.size], Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=max(1, int(40 * (1 - severity))))
    return Image.open(buffer).resize(image.size, Image.Resampling.BICUBIC)


def melt(image: Image.Image, severity: float, rng: RNG) -> Image.Image:
    """Rows and columns pushed about by three random sine waves of up to 7/64 of the side each."""
    pixels, scale = np.asarray(image), _scale(image)
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(float)
    for _ in range(3):
        fx, fy, px, py = rng.uniform(0.1, 0.5), rng.uniform(0.1, 0.5), *rng.uniform(0, 6, 2)
        far = 7 * severity * scale
        x, y = x + far * np.sin(fx / scale * y + px), y + far * np.sin(fy / scale * x + py)
    rows, columns = (np.clip(v, 0, n - 1).astype(int) for v, n in ((y, height), (x, width)))
    return Image.fromarray(pixels[rows, columns])


def turn_hue(image: Image.Image, severity: float) -> Image.Image:
    """Every colour turned round the colour wheel, by half of it at 1."""
    hsv = np.array(image.convert("HSV"))
    hsv[..., 0] += np.uint8(round(128 * severity))  # wraps round, as hues do
    return Image.merge("HSV", [Image.fromarray(hsv[..., n]) for n in range(3)]).convert("RGB")


def patch(image: Image.Image, other: Image.Image, share: float, rng: RNG) -> Image.Image:
    """`other` in smooth patches that cover `share` of the picture."""
    field = Image.fromarray(rng.normal(size=(5, 5)).astype(np.float32)).resize(image.size, Image.Resampling.BICUBIC)
    heights = np.asarray(field)
    mask = heights <= np.quantile(heights, share)
    brought = np.asarray(other.resize(image.size, Image.Resampling.LANCZOS))
    return Image.fromarray(np.where(mask[..., None], brought, np.asarray(image)))


def repeat_middle(image: Image.Image, severity: float, rng: RNG) -> Image.Image:
    """The picture's middle a second time, round, in a corner; up to half the side wide."""
    width, height = image.size
    side = max(4, round(min(image.size) / 2 * severity))
    middle = image.resize(
        (side, side), Image.Resampling.LANCZOS, (width / 5, height / 5, width * 4 / 5, height * 4 / 5)
    )
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    mask = Image.fromarray(_clip((side / 2 - np.hypot(x, y)) * 64))
    corner = (int(rng.integers(2)) * (width - side), int(rng.integers(2)) * (height - side))
    result = image.copy()
    result.paste(middle, corner, mask)
    return result


def darken(image: Image.Image, share: float) -> Image.Image:
    return Image.fromarray(_clip(np.asarray(image) * (1 - share)))


def morph(picture: Picture, shape: str, severity: float, size: float = 1.0) -> Image.Image:
    """The drawn shape on its way to another of `size` times its radius, which it is at 1."""
    other = _distance(picture, shape, picture.radius * size)
    return _fill(picture, _distance(picture, picture.shape, picture.radius) * (1 - severity) + other * severity)


def recolour(picture: Picture, colour: str, severity: float) -> Image.Image:
    """The drawn shape's colour on its way to another, which it is at 1."""
    distance = _distance(picture, picture.shape, picture.radius)
    front = np.array(COLOURS[picture.colour]) * (1 - severity) + np.array(COLOURS[colour]) * severity
    return _fill(picture, distance, front)


def twin(picture: Picture, severity: float, rng: RNG) -> Image.Image:
    """A second shape like the first in a corner, of up to 0.6 of its radius."""
    x, y = rng.choice([-0.66, 0.66], 2)
    second = Picture(picture.shape, picture.colour, picture.background, picture.size, float(x), float(y), 0)
    distances = [
        _distance(picture, picture.shape, picture.radius),
        _distance(second, second.shape, picture.radius * 0.6 * severity),
    ]
    return _fill(picture, np.minimum(*distances))


def whole(picture: Picture) -> Image.Image:
    """A drawing as it ought to be."""
    return Image.fromarray(draw([picture])[0])


def _distance(picture: Picture, shape: str, radius: float) -> NDArray[np.floating]:
    """Signed distance (64, 64) to the outline of `shape` in the picture's place, in half-sides."""
    axis = (np.arange(RESOLUTION, dtype=np.float32) + 0.5) / RESOLUTION * 2 - 1
    gx, gy = np.meshgrid(axis, axis)
    return signed_distance(shape, (gx - picture.x) / radius, (gy - picture.y) / radius) * radius


def _fill(picture: Picture, distance: NDArray[np.floating], front: NDArray[np.floating] | None = None) -> Image.Image:
    colour = np.array(COLOURS[picture.colour], float) if front is None else front
    cover = np.clip(0.5 - distance * (RESOLUTION / 2), 0, 1)[..., None]
    back = np.array(COLOURS[picture.background], float)
    return Image.fromarray(_clip(np.round(colour * cover + back * (1 - cover))))


def _scale(image: Image.Image) -> float:
    """How many times longer its short side is than a drawing's."""
    return min(image.size) / RESOLUTION


def _clip(values: NDArray[np.floating]) -> Pixels:
    clipped: Pixels = np.clip(values, 0, 255).astype(np.uint8)
    return clipped
