from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.dataset import scan
from bracket.dataset.reading import headers
from bracket.domain import Problem
from bracket.errors import DatasetError


def picture(path: Path, size: tuple[int, int] = (40, 32), caption: str | None = "a cat", **save: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name sets the colour, so that no two files are the same by accident.
    colour = tuple(path.name.encode().ljust(3)[:3])
    Image.new("RGB", size, colour).save(path, **save)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path


def told(problems: tuple[Problem, ...], level: str = "") -> dict[str, str]:
    return {p.path.name if p.path else "": p.message for p in problems if p.level.startswith(level)}


def test_every_kind_of_picture_is_read_in_order_of_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "c.webp", "d.bmp", "e.avif", "f.TIFF", "g.JPEG"):
        picture(tmp_path / name, caption=f"picture {name}")
    seen = scan(tmp_path)
    assert [p.path.name for p in seen.pictures] == ["a.jpg", "b.png", "c.webp", "d.bmp", "e.avif", "f.TIFF", "g.JPEG"]
    assert {(p.width, p.height) for p in seen.pictures} == {(40, 32)}
    assert seen.pictures[1].caption == "picture b.png"
    assert (seen.captioned, seen.problems) == (7, ())


def test_missing_folder_and_file_for_folder_are_told_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"does not exist \(.*none\)\. Check the path"):
        scan(tmp_path / "none")
    with pytest.raises(DatasetError, match="a file, not a folder"):
        scan(picture(tmp_path / "a.png"))


def test_an_empty_folder_is_a_problem_not_a_crash(tmp_path: Path) -> None:
    seen = scan(tmp_path)
    assert [(p.level, p.message) for p in seen.problems] == [("error", "There is no usable picture here")]


def test_captions_that_are_missing_empty_or_in_another_encoding(tmp_path: Path) -> None:
    picture(tmp_path / "none.png", caption=None)
    picture(tmp_path / "empty.png", caption=" \n")
    picture(tmp_path / "latin.png").with_suffix(".txt").write_bytes("ein größerer Hund".encode("latin-1"))
    picture(tmp_path / "wide.png").with_suffix(".txt").write_bytes("ein größerer Hund\r\n".encode("utf-16"))
    picture(tmp_path / "bom.png").with_suffix(".txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo  three")
    picture(tmp_path / "other.png", caption=None).with_suffix(".caption").write_text("a dog")
    seen = scan(tmp_path)
    captions = {p.path.stem: p.caption for p in seen.pictures}
    assert captions == {
        "none": "",
        "empty": "",
        "latin": "",
        "wide": "ein größerer Hund",
        "bom": "one two three",
        "other": "a dog",
    }
    assert told(seen.problems, "warning") == {
        "none.png": "This picture has no caption",
        "empty.txt": "This caption is empty",
    }
    assert told(seen.errors) == {"latin.txt": "This text can't be read: it is not UTF-8 text (line 1)"}
    assert seen.captioned == 3


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.jpg").write_bytes(b"")
    picture(tmp_path / "tiny.png", (15, 400))
    picture(tmp_path / "folder.png" / "inner.png")
    seen = scan(tmp_path)
    assert [p.path.name for p in seen.pictures] == ["good.png"]
    assert told(seen.errors) == {
        "text.png": "This picture can't be used: it is not a picture",
        "empty.jpg": "This picture can't be used: the file is empty",
        "tiny.png": "This picture can't be used: it is only 15×400 pixels; 16 a side is the least",
    }


def test_a_picture_cut_off_after_its_header_is_found_by_a_deep_scan(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    picture(tmp_path / "good.png")
    assert len(scan(tmp_path).pictures) == 2
    seen = scan(tmp_path, deep=True)
    assert [p.path.name for p in seen.pictures] == ["good.png"]
    assert "does not decode" in told(seen.errors)["cut.png"]


def header_only_png(path: Path, side: int) -> None:
    """A PNG that claims side × side pixels and holds none."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    end = struct.pack(">I", 4) + b"IDAT" + b"\0" * 4
    path.write_bytes(data + end + struct.pack(">I", zlib.crc32(b"IDAT" + b"\0" * 4)))


@pytest.mark.parametrize("side", [10_000, 60_000])
@pytest.mark.filterwarnings("error")
def test_huge_pictures_are_refused_by_their_header(tmp_path: Path, side: int) -> None:
    picture(tmp_path / "good.png")
    header_only_png(tmp_path / "huge.png", side)
    seen = scan(tmp_path, deep=True)
    assert [p.path.name for p in seen.pictures] == ["good.png"]
    assert "more than 89 million pixels" in told(seen.errors)["huge.png"]


def test_a_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "good.png")
    with picture(tmp_path / "large.bmp").open("ab") as file:
        file.truncate(headers.MOST_BYTES + 1)  # sparse: takes no room
    assert "larger than 1 GiB" in told(scan(tmp_path).errors)["large.bmp"]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_exif_rotation_swaps_the_sides(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture(tmp_path / "turned.jpg", (80, 40), exif=exif)
    seen = scan(tmp_path)
    assert (seen.pictures[0].width, seen.pictures[0].height) == (40, 80)
    assert [(p.level, p.message) for p in seen.problems] == [
        ("info", "Pictures that are turned as their EXIF data say: 1")
    ]


def test_unusual_pictures_are_counted_not_refused(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGBA", (32, 32), (number, 0, 0, 9)).save(tmp_path / f"clear{number}.png")
    Image.new("CMYK", (32, 32)).save(tmp_path / "print.jpg")
    Image.fromarray(np.full((32, 32), 40_000, np.uint16)).save(tmp_path / "deep.png")
    frames = [Image.new("RGB", (32, 32), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:])
    seen = scan(tmp_path)
    assert len(seen.pictures) == 6
    assert told(seen.problems, "info") == {
        "clear0.png": "Pictures that are transparent; trained on white: 3",
        "print.jpg": "Pictures that are CMYK; converted to RGB: 1",
        "deep.png": "Pictures that are of 16 or more bits; reduced to 8: 1",
        "moving.webp": "Pictures that are animated; only their first frame is used: 1",
    }


def test_equal_files_are_found_also_across_the_validation_folder(tmp_path: Path) -> None:
    data = picture(tmp_path / "a.png").read_bytes()
    for name in ("b.png", "validation/c.png"):
        picture(tmp_path / name).write_bytes(data)
    picture(tmp_path / "d.png")
    seen = scan(tmp_path)
    assert [[p.name for p in group] for group in seen.duplicates] == [["a.png", "b.png", "c.png"]]
    also = os.path.join("validation", "c.png")
    assert told(seen.problems, "warning") == {"a.png": f"This picture is the same file as b.png, {also}"}


def test_two_pictures_of_one_stem_share_a_caption(tmp_path: Path) -> None:
    picture(tmp_path / "a.jpg")
    picture(tmp_path / "a.png")
    assert told(scan(tmp_path).problems) == {"a.png": "This picture shares its caption a.txt with a.jpg"}


def test_what_is_not_used_is_said(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "10_dog" / "b.png")
    picture(tmp_path / ".hidden" / "c.png")
    (tmp_path / "d.HEIC").write_bytes(b"x")
    (tmp_path / "notes.md").write_text("x")
    assert told(scan(tmp_path).problems, "warning") == {
        "10_dog": "1 pictures in this subfolder are not used",
        "d.HEIC": "Files of kinds that are not read: 1 .heic",
    }


def test_the_validation_folder_is_kept_apart(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "validation" / "b.png", caption=None)
    seen = scan(tmp_path)
    assert ([p.path.name for p in seen.pictures], [p.path.name for p in seen.validation]) == (["a.png"], ["b.png"])
    assert told(seen.problems) == {"b.png": "This picture has no caption"}


def test_progress_counts_to_the_end(tmp_path: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    steps: list[tuple[int, int]] = []
    scan(tmp_path, progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_only_what_is_new_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        picture(tmp_path / f"{name}.png")
    scan(tmp_path, deep=True)
    opened: list[str] = []
    real = Image.open

    def counting(path: Path, **more: object) -> Image.Image:
        opened.append(Path(path).name)
        return real(path, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", counting)
    scan(tmp_path, deep=True)
    assert opened == []
    picture(tmp_path / "b.png", (50, 60))
    assert [(p.width, p.height) for p in scan(tmp_path).pictures] == [(40, 32), (50, 60), (40, 32)]
    assert opened == ["b.png"]


def test_changed_captions_are_seen_at_once(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    scan(tmp_path)
    path.with_suffix(".txt").write_text("a dog")
    assert scan(tmp_path).pictures[0].caption == "a dog"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_named_like_a_picture_blocks_nothing(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "gone.png")
    assert [p.path.name for p in scan(tmp_path).pictures] == ["a.png"]


def dataset(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.toml").write_text(text, encoding="utf-8")
    return folder / "data.toml"


def test_an_sd_scripts_file_is_scanned_source_by_source(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", caption="text file").with_suffix(".cap").write_text("its own")
    picture(tmp_path / "a" / "2.png", caption=None)
    picture(tmp_path / "b" / "3.jpg", (64, 48))
    picture(tmp_path / "reg" / "4.png", caption=None)
    picture(tmp_path / "reg" / "5.png", (8, 8))
    text = """
    [[datasets]]
    validation_split = 0.1
    [[datasets.subsets]]
    image_dir = "a"
    caption_extension = ".cap"
    class_tokens = "zorp star"
    [[datasets.subsets]]
    image_dir = "b"
    caption_extension = ".txt"
    [[datasets.subsets]]
    image_dir = "reg"
    is_reg = true
    """
    seen = scan(dataset(tmp_path, text))
    assert seen.folder == tmp_path
    assert [(p.path.name, p.caption, p.width, p.source) for p in seen.pictures] == [
        ("1.png", "its own", 40, 0),
        ("2.png", "zorp star", 40, 0),
        ("3.jpg", "a cat", 64, 1),
    ]
    assert seen.options == {"validation_split": 0.1} and [s.regularisation for s in seen.sources] == [
        False,
        False,
        True,
    ]
    assert told(seen.problems) == {
        "4.png": "This picture has no caption",
        "5.png": "This picture can't be used: it is only 8×8 pixels; 16 a side is the least",
        "data.toml": "validation_split is not used while bracket holds pictures out itself",
        "1.txt": "Further captions that are not read (.txt beside another): 1",
    }


def test_a_musubi_file_gives_clips_and_pairs(tmp_path: Path) -> None:
    for name in ("one", "two"):
        picture(tmp_path / "edit" / f"{name}.png")
    picture(tmp_path / "edit" / "control" / "one.png")
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "c.mkv").write_bytes(b"a clip")
    (tmp_path / "clips" / "d.mkv").write_bytes(b"clip 2")
    (tmp_path / "clips" / "c.txt").write_text("a walk")
    text = """
    [[datasets]]
    image_directory = "edit"
    control_directory = "edit/control"
    [[datasets]]
    video_directory = "clips"
    """
    seen = scan(dataset(tmp_path, text), deep=True)
    assert [(p.path.name, p.width, p.height, p.caption, p.source) for p in seen.pictures] == [
        ("one.png", 40, 32, "a cat", 0),
        ("c.mkv", 0, 0, "a walk", 1),
        ("d.mkv", 0, 0, "", 1),
    ]
    assert seen.pictures[0].controls == (tmp_path / "edit" / "control" / "one.png",)
    assert told(seen.problems) == {
        "two.png": "This has no control picture and is left out",
        "d.mkv": "This clip has no caption",
    }


def test_a_folder_in_two_resolutions_holds_no_duplicates(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png")
    text = "".join(f'[[datasets]]\nimage_directory = "a"\nresolution = {r}\n' for r in (512, 768))
    seen = scan(dataset(tmp_path, text))
    assert [p.source for p in seen.pictures] == [0, 1] and (seen.duplicates, seen.problems) == ((), ())


def test_a_source_that_holds_nothing_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png")
    (tmp_path / "clips").mkdir()
    text = '[[datasets]]\nimage_directory = "a"\n[[datasets]]\nvideo_directory = "clips"\n'
    seen = scan(dataset(tmp_path, text))
    assert told(seen.errors) == {"clips": "There is no usable clip here"}


def test_a_dataset_of_regularisation_alone_is_an_error(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png")
    seen = scan(dataset(tmp_path, '[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\nis_reg = true\n'))
    assert told(seen.errors) == {"data.toml": "All of this dataset only keeps the model as it was"}
    assert seen.pictures == ()


def test_wildcards_over_several_lines_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png", caption="one\ntwo")
    text = '[general]\nenable_wildcard = true\n[[datasets]]\n[[datasets.subsets]]\nimage_dir = "a"\n'
    seen = scan(dataset(tmp_path, text))
    assert seen.pictures[0].caption == "one two"
    assert [p.level for p in seen.problems] == ["info", "warning"] and "enable_wildcard" in seen.problems[1].message
    kohya = scan(tmp_path / "data.toml", trainer="sd_scripts")
    assert kohya.pictures[0].caption == "one\ntwo" and [p.level for p in kohya.problems] == ["info"]
