from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.errors import JudgeError
from bracket.judges import images
from bracket.judges.images import content_key, open_image, shuffled, thumbnail

RED = (200, 30, 40)


def test_transparent_parts_become_white(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (4, 4), (*RED, 255))
    picture.putpixel((0, 0), (0, 0, 0, 0))
    picture.save(tmp_path / "a.png")
    image = open_image(tmp_path / "a.png")
    assert (image.mode, image.getpixel((0, 0)), image.getpixel((1, 1))) == ("RGB", (255, 255, 255), RED)


def test_palette_transparency_becomes_white(tmp_path: Path) -> None:
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([0, 0, 0, *RED])
    picture.putpixel((1, 1), 1)
    picture.save(tmp_path / "a.png", transparency=0)
    image = open_image(tmp_path / "a.png")
    assert (image.getpixel((0, 0)), image.getpixel((1, 1))) == ((255, 255, 255), RED)


def test_exif_turns_the_picture(tmp_path: Path) -> None:
    picture = Image.new("RGB", (6, 2), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "a.jpg", exif=exif)
    assert open_image(tmp_path / "a.jpg").size == (2, 6)


def test_sixteen_bits_keep_their_tones(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(open_image(tmp_path / "a.png"))[0, :, 0].tolist() == [0, 128, 255]


def test_floats_of_a_tiff_span_the_tones(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "a.tiff")
    assert np.asarray(open_image(tmp_path / "a.tiff"))[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = open_image(tmp_path / "a.jpg").getpixel((4, 4))  # type: ignore[misc]
    assert red > 240 and green < 15 and blue < 15


def test_the_first_frame_of_an_animation_counts(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), c) for c in (RED, (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "a.gif").getpixel((0, 0)) == RED


@pytest.mark.parametrize("content", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with pytest.raises(JudgeError) as caught:
        open_image(path)
    assert caught.value.path == path and "can't be read" in str(caught.value)


def test_a_torn_picture_is_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    torn = tmp_path / "torn.png"
    torn.write_bytes((tmp_path / "whole.png").read_bytes()[:3000])
    with pytest.raises(JudgeError, match=r"torn\.png"):
        open_image(torn)


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="there is no picture here"):
        open_image(tmp_path / "none.png")
    with pytest.raises(JudgeError, match=r"none\.png"):
        content_key(tmp_path / "none.png")


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 399)
    with pytest.raises(JudgeError, match="20×20 pixels"):
        open_image(tmp_path / "a.png")


def test_content_key_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert content_key(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_thumbnails_do_not_change_with_brightness() -> None:
    values = np.random.default_rng(0).integers(0, 200, (64, 64, 3)).astype(np.uint8)
    plain, brighter = (thumbnail(Image.fromarray(v)) for v in (values, values + 50))
    assert float(plain @ brighter) == pytest.approx(1.0, abs=1e-4)


def test_a_flat_picture_correlates_with_nothing() -> None:
    assert not thumbnail(Image.new("RGB", (64, 64), RED)).any()


def test_shuffling_keeps_every_pixel_and_moves_every_tile() -> None:
    values = np.arange(16 * 16 * 3, dtype=np.uint32).reshape(16, 16, 3) % 251
    image = Image.fromarray(values.astype(np.uint8))
    mixed = np.asarray(shuffled(image))
    assert sorted(mixed.ravel().tolist()) == sorted(values.ravel().tolist())
    moved = [
        not np.array_equal(mixed[y : y + 2, x : x + 2], values[y : y + 2, x : x + 2])
        for y in range(0, 16, 2) for x in range(0, 16, 2)
    ]
    assert all(moved)


def test_shuffling_takes_any_size() -> None:
    assert shuffled(Image.new("RGB", (13, 3))).size == (8, 8)
