"""What lies in a dataset's folder and isn't used: a line a kind, with its count."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from bracket.dataset import Scan, check_dataset, link_pictures, scan, split
from bracket.errors import DatasetError
from tests.dataset.reading.test_layout import picture

LITTLE = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (("a.heic", "b.DNG", "c.heic", "d.psd"), "Files of kinds that are not read: 1 .dng, 2 .heic, 1 .psd"),
        (("a.svg", "b.gif", "c.mp4", "d.jxl"), "Files of kinds that are not read: 1 .gif, 1 .jxl, 1 .mp4, 1 .svg"),
        (("other.txt", "b.png.txt"), "Captions without a picture: 2"),
        (("Good.txt",), "Captions without a picture: 1"),
        (("good.caption",), "Further captions that are not read (.caption beside another): 1"),
        (("a.png.part", "b.crdownload"), "Unfinished downloads: 2"),
        (("notes.md", "all.zip", "bare"), "Files that are no pictures or captions: 1 .md, 1 .zip, 1 without suffix"),
        (
            (".DS_Store", "._good.png", "Thumbs.db", "good_sdxl.npz", "desktop.ini"),
            "Left aside, hidden files and other programs' own: 1 .db, 1 .ini, 1 .npz, 2 hidden",
        ),
    ],
)
def test_each_kind_is_one_line_with_its_count(tmp_path: Path, names: tuple[str, ...], line: str) -> None:
    picture(tmp_path / "good.png", "a cat")
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert [p.message for p in check_dataset(tmp_path)] == [line]


def test_links_pipes_and_circles(tmp_path: Path) -> None:
    picture(tmp_path / "good.png", "a cat")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "round.png").symlink_to("round.png")
    (tmp_path / "self").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    os.mkfifo(tmp_path / "pipe.txt")
    assert [p.message for p in check_dataset(tmp_path)] == [
        "Links that lead nowhere: 2",
        "Names that are no files (pipes, devices): 2",
        "1 pictures in this subfolder are not used",
    ]


@pytest.mark.parametrize("name", ["cat-masklabel.png", "cat_mask.png", "cat.mask.webp", "cat-condlabel.png"])
def test_a_mask_beside_its_picture_is_not_trained_on_but_a_mask_alone_is_a_picture(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "cat.png", "a cat")
    picture(tmp_path / name)
    picture(tmp_path / "carnival_mask.png", "a mask")
    assert [p.path.name for p in scan(tmp_path).pictures] == ["carnival_mask.png", "cat.png"]
    assert [p.message for p in check_dataset(tmp_path)] == ["Masks, which are not trained on: 1"]


def test_captions_in_upper_case_and_common_kinds_are_read_and_linked_so_that_any_trainer_can(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name, kind in (("a.JPG", "JPEG"), ("b.jfif", "JPEG"), ("c.jpe", "JPEG"), ("d.tga", "TGA"), ("e.avif", "AVIF"),
                       ("f.tif", "TIFF"), ("g.bmp", "BMP")):  # fmt: skip
        Image.effect_noise((40, 32), 60).convert("RGB").save(mine / name, kind)
        (mine / name).with_suffix(".TXT").write_text(f"of {name}")
    seen = scan(mine, deep=True)
    assert [p.caption for p in seen.pictures] == [f"of {p.path.name}" for p in seen.pictures] and len(
        seen.pictures
    ) == 7
    assert seen.problems == ()
    made = split(seen, validation=0, verdict=0)
    (source,) = link_pictures(made, made.train, tmp_path / "links")
    linked = {p.name: Image.open(p).format for p in source.folder.iterdir() if p.suffix != ".txt"}
    assert linked == {"a.jpg": "JPEG", "b.jpg": "JPEG", "c.jpg": "JPEG", "d.png": "PNG", "e.png": "PNG",
                      "f.png": "TIFF", "g.png": "BMP"}  # fmt: skip
    assert {p.read_text() for p in source.folder.glob("*.txt")} == {f"of {p.path.name}\n" for p in made.train}


def test_what_many_files_have_in_common_is_said_once_with_its_count(tmp_path: Path) -> None:
    for n in range(5):
        picture(tmp_path / f"{n}.png")
    assert [p.message for p in check_dataset(tmp_path)] == ["This picture has no caption (5 in all)"]
    for n in range(5):
        shutil.copy(tmp_path / f"{n}.png", tmp_path / f"{n}.jpg")
        (tmp_path / f"{n}.txt").write_text(f"a cat {n}")
    assert [p.message for p in check_dataset(tmp_path)] == [
        "This picture shares its caption 0.txt with 0.jpg (5 in all)",
        "This picture is the same file as 0.png (5 in all)",
    ]


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(5000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n", "not a picture"),
        (b"\xc5\xd0\xd3\xc6" + bytes(60), "not a picture"),
        (b"%PDF-1.7\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
        (b"", "empty"),
        (bomb(60_000, 60_000), "million pixels"),
        (bomb(2**31 - 1, 2**31 - 1), "million pixels"),
        (bomb(0, 10), ""),
        (bomb(500, 500), "does not decode"),
    ],
)
def test_pictures_made_to_harm_are_refused_unseen(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "a.png").write_bytes(content)
    found = scan(tmp_path, deep=True)
    assert found.pictures == () and why in found.errors[-1].message


def test_no_program_is_started_for_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An EPS file would be handed to Ghostscript by Pillow."""
    from PIL import EpsImagePlugin

    def never(*_: object, **__: object) -> None:
        raise AssertionError("Ghostscript was called")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", never)
    buffer = BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "EPS")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert "not a picture" in scan(tmp_path, deep=True).errors[-1].message


def ends(folder: Path | str) -> None:
    """A scan gives a Scan, whose problems can be shown, or a DatasetError that can."""
    try:
        made = scan(folder, deep=True)
    except DatasetError as error:
        str(error).encode()
        return
    assert isinstance(made, Scan)
    "".join(map(str, made.problems)).encode()


NAMES = st.binary(min_size=1, max_size=60).filter(lambda n: b"/" not in n and b"\0" not in n and n not in (b".", b".."))


@LITTLE
@given(
    name=NAMES, suffix=st.sampled_from([b".png", b".JPG", b".txt", b".caption", b".heic", b"", b".toml", b"_mask.png"])
)
def test_any_name_the_system_takes(tmp_path_factory: pytest.TempPathFactory, name: bytes, suffix: bytes) -> None:
    folder = tmp_path_factory.mktemp("d")
    good = picture(folder / "good.png", "a cat")
    place = os.fsencode(folder) + b"/" + name + suffix
    with open(place, "wb") as file:
        file.write(good.read_bytes())
    ends(folder)
    ends(os.fsdecode(place))


@LITTLE
@given(content=st.binary(max_size=300))
def test_any_caption(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("d")
    picture(folder / "good.png").with_suffix(".txt").write_bytes(content)
    ends(folder)
    check_dataset(folder, trainer="sd_scripts")


@LITTLE
@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "TGA"]))
def test_any_damage_to_a_picture(tmp_path_factory: pytest.TempPathFactory, seed: int, kind: str) -> None:
    import random

    draw = random.Random(seed)
    buffer = BytesIO()
    Image.effect_noise((40, 32), 60).convert("RGB").save(buffer, kind)
    data = bytearray(buffer.getvalue())
    for _ in range(draw.randint(1, 8)):
        data[draw.randrange(min(len(data), 200))] = draw.randrange(256)
    folder = tmp_path_factory.mktemp("d")
    (folder / "a.png").write_bytes(data[: draw.randint(1, len(data))])
    ends(folder)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
