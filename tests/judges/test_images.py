from __future__ import annotations

import hashlib
import struct
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.errors import JudgeError
from bracket.judges import images
from bracket.judges.images import content_key, inspect, open_image, shuffled, thumbnail, told

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


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_exif_turns_the_picture(tmp_path: Path, orientation: int) -> None:
    picture = Image.new("RGB", (6, 2), RED)
    exif = Image.Exif()
    exif[0x0112] = orientation
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
        for y in range(0, 16, 2)
        for x in range(0, 16, 2)
    ]
    assert all(moved)


def test_shuffling_takes_any_size() -> None:
    assert shuffled(Image.new("RGB", (13, 3))).size == (8, 8)


def ink_profile() -> bytes:
    """An ICC profile (version 2, lut8) of a press whose cyan ink is red; two inks and more make black."""
    corners = {(0, 0, 0, 0): (255, 128, 128), (1, 0, 0, 0): (138, 209, 198)}
    grid = [(c, m, y, k) for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)]
    clut = b"".join(bytes(corners.get(inks, (0, 128, 128))) for inks in grid)
    identity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + identity + bytes(range(256)) * 4 + clut + bytes(range(256)) * 3
    table += bytes(-len(table) % 4)
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4xI", 144 + len(table), 0x02100000) + b"prtrCMYKLab " + bytes(12) + b"acsp"
    header = (header.ljust(68, b"\0") + d50).ljust(128, b"\0")
    return header + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


@pytest.mark.parametrize("name", ["a.jpg", "a.tiff"])
def test_cmyk_is_read_by_its_own_profile(tmp_path: Path, name: str) -> None:
    Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(tmp_path / name, icc_profile=ink_profile())
    red, green, blue = open_image(tmp_path / name).getpixel((8, 8))  # type: ignore[misc]
    assert red > 200 and green < 60 and blue < 60


def test_cmyk_with_a_profile_of_no_use_is_read_as_it_is(tmp_path: Path) -> None:
    for number, profile in enumerate((b"no profile", ink_profile()[:200])):
        path = tmp_path / f"{number}.tiff"
        Image.new("CMYK", (16, 16), (255, 0, 0, 0)).save(path, icc_profile=profile)
        assert open_image(path).getpixel((8, 8)) == (0, 255, 255)


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """An RGB PNG, chunk by chunk, since Pillow writes none of 16 bits a channel or of more pixels than it holds."""
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunks = [b"IHDR" + head, b"IDAT" + zlib.compress(rows), b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


def written(path: Path, kind: str) -> Path:
    """A picture that needs what `kind` says."""
    plain = Image.new("RGB", (32, 32), RED)
    match kind:
        case "animated":
            plain.save(path.with_suffix(".webp"), save_all=True, append_images=[Image.new("RGB", (32, 32))])
            return path.with_suffix(".webp")
        case "cmyk":
            plain.convert("CMYK").save(path.with_suffix(".jpg"))
            return path.with_suffix(".jpg")
        case "deep":
            Image.fromarray(np.full((32, 32), 300, np.uint16)).save(path)
        case "deep colour":
            rows = b"".join(b"\0" + b"\x80\x01" * 96 for _ in range(32))
            path.write_bytes(png(32, 32, 16, rows))
        case "transparent":
            plain.convert("RGBA").save(path)
        case "scaled":
            Image.new("1", (5000, 4000)).save(path)
        case "padded":
            Image.new("RGB", (20, 400), RED).save(path)
        case "misnamed":
            plain.save(path, "JPEG")
        case "tiny":
            Image.new("RGB", (1, 1), RED).save(path)
        case _:
            plain.save(path)
    return path


KINDS = ("animated", "cmyk", "deep", "transparent", "scaled", "padded", "misnamed", "tiny")


@pytest.mark.parametrize("kind", [*KINDS, "deep colour", "nothing"])
def test_what_was_done_is_counted_and_told_by_the_header_alone(tmp_path: Path, kind: str) -> None:
    path, notes = written(tmp_path / "a.png", kind), Counter[str]()
    picture = open_image(path, notes)
    expected = () if kind == "nothing" else (kind.split()[0],)
    assert picture.mode == "RGB" and tuple(notes) == expected == inspect(path)
    open_image(path, notes)
    assert [line.startswith("2 of the pictures: ") for line in told(notes)] == [True] * len(expected)


def test_a_large_picture_is_scaled_down_in_its_shape(tmp_path: Path) -> None:
    size = open_image(written(tmp_path / "a.png", "scaled")).size
    assert size[0] * size[1] <= images.LARGEST and size[0] / size[1] == pytest.approx(1.25, abs=0.01)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((10, 10_000), (1250, 10_000)), ((10_000, 10), (10_000, 1250)), ((8, 64), (8, 64))],
)
def test_a_strip_is_padded_with_white_and_keeps_its_pixels(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    Image.new("RGB", size, RED).save(tmp_path / "a.png")
    picture = open_image(tmp_path / "a.png")
    assert picture.size == expected
    assert int((np.asarray(picture) == RED).all(-1).sum()) == size[0] * size[1]


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    """A few bytes that say 60,000 × 60,000, and 12,000 × 12,000 which Pillow itself would let pass."""
    for side, said in ((60_000, "far too many pixels"), (12_000, "12000×12000 pixels")):
        (tmp_path / "a.png").write_bytes(png(side, side, 8, b""))
        for look in (open_image, inspect):
            with pytest.raises(JudgeError, match=said) as caught:
                look(tmp_path / "a.png")
            assert caught.value.path == tmp_path / "a.png" and "Scale it down" in caught.value.remedy


def test_an_empty_file_is_told_as_empty(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(JudgeError, match="the file is empty"):
        open_image(tmp_path / "a.png")


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="can't be read"):
        open_image(tmp_path)
