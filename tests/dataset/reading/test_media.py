from __future__ import annotations

import json
from pathlib import Path

import pytest

from bracket.dataset.reading.media import caption_beside, items_of
from bracket.domain import Source
from bracket.errors import DatasetError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def pairs(source: Source) -> dict[str, list[str]]:
    return {i.path.name: [c.name for c in i.controls] for i in items_of(source).items}


def test_controls_go_by_stem_then_by_number_and_the_longer_stem_comes_first(tmp_path: Path) -> None:
    touch(*(tmp_path / "a" / n for n in ("cat.png", "cat_1.png", "dog.webp", "alone.png", ".hidden.png")))
    touch(*(tmp_path / "c" / n for n in ("cat_10.png", "cat_2.jpg", "cat.png", "cat_1.png", "cat_1_0.png", "dog.png")))
    touch(tmp_path / "c" / "alone_mask.png")
    source = Source(tmp_path / "a", controls=(tmp_path / "c",))
    assert pairs(source) == {
        "cat.png": ["cat.png", "cat_2.jpg", "cat_10.png"],
        "cat_1.png": ["cat_1.png", "cat_1_0.png"],
        "dog.webp": ["dog.png"],
    }
    assert [(p.level, p.path) for p in items_of(source).problems] == [("warning", tmp_path / "a" / "alone.png")]


def test_pictures_of_one_stem_share_a_control(tmp_path: Path) -> None:
    touch(*(tmp_path / n for n in ("a/x.png", "a/x.jpg", "c/x.webp")))
    source = Source(tmp_path / "a", controls=(tmp_path / "c",))
    assert pairs(source) == {"x.jpg": ["x.webp"], "x.png": ["x.webp"]}


def test_a_picture_needs_a_control_in_each_folder(tmp_path: Path) -> None:
    touch(*(tmp_path / n for n in ("a/x.png", "a/y.png", "c/x.png", "c/y.png", "d/x.jpg")))
    source = Source(tmp_path / "a", controls=(tmp_path / "c", tmp_path / "d"))
    assert pairs(source) == {"x.png": ["x.png", "x.jpg"]}


def test_clips_pair_with_the_same_name_then_with_frames_then_with_another_ending(tmp_path: Path) -> None:
    touch(*(tmp_path / "a" / n for n in ("one.mp4", "two.mkv", "three.MOV", "four.avi", "still.png")))
    touch(*(tmp_path / "c" / n for n in ("one.mp4", "one.mov", "two/000.png", "two.webm", "three.webm")))
    source = Source(tmp_path / "a", "video", controls=(tmp_path / "c",))
    assert pairs(source) == {"one.mp4": ["one.mp4"], "two.mkv": ["two"], "three.MOV": ["three.webm"]}


def test_further_targets_are_no_pictures_of_their_own(tmp_path: Path) -> None:
    touch(*(tmp_path / n for n in ("a.png", "a_0.png", "a_1.png", "b_7.png", "a.txt")))
    source = Source(tmp_path, options={"multiple_target": True})
    assert [i.path.name for i in items_of(source).items] == ["a.png", "b_7.png"]


def test_a_jsonl_gives_captions_and_controls_in_their_order(tmp_path: Path) -> None:
    touch(*(tmp_path / n for n in ("p/a.png", "p/b.png", "c/0.png", "c/1.png")))
    lines = [
        {"image_path": "p/a.png", "caption": " one\n two ", "control_path_1": "c/1.png", "control_path_0": "c/0.png"},
        {"image_path": str(tmp_path / "p/b.png"), "caption": "b"},
        {"image_path": "p/gone.png", "caption": "c"},
    ]
    path = tmp_path / "list.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n\n", encoding="utf-8")
    held = items_of(Source(tmp_path, options={"image_jsonl_file": str(path)}))
    assert [(i.path, i.caption, [c.name for c in i.controls]) for i in held.items] == [
        (tmp_path / "p/a.png", "one two", ["0.png", "1.png"])
    ]
    assert [(p.level, p.path and p.path.name) for p in held.problems] == [("error", "gone.png"), ("warning", "b.png")]


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"image_path": "a.png"}', '{"image_path": 1, "caption": ""}', '{"caption": "a"}']
)
def test_a_wrong_line_of_a_jsonl_is_told_by_its_number(tmp_path: Path, line: str) -> None:
    touch(tmp_path / "a.png")
    path = tmp_path / "list.jsonl"
    path.write_text('{"image_path": "a.png", "caption": ""}\n' + line, encoding="utf-8")
    with pytest.raises(DatasetError, match="Line 2 of this list"):
        items_of(Source(tmp_path, options={"image_jsonl_file": str(path)}))


def test_a_metadata_file_gives_captions_by_stem_or_path(tmp_path: Path) -> None:
    touch(tmp_path / "a.png", tmp_path / "b.jpg", tmp_path / "unlisted.png")
    entries = {"a": {"caption": "one", "tags": "x, y"}, str(tmp_path / "b.jpg"): {"tags": "z"}, "gone": {}}
    (tmp_path / "m.json").write_text(json.dumps(entries))
    held = items_of(Source(tmp_path, options={"metadata_file": str(tmp_path / "m.json")}))
    assert [(i.path.name, i.caption) for i in held.items] == [("a.png", "one, x, y"), ("b.jpg", "z")]
    assert [p.level for p in held.problems] == ["error"]
    (tmp_path / "m.json").write_text("[1]")
    with pytest.raises(DatasetError, match="not one of sd-scripts"):
        items_of(Source(tmp_path, options={"metadata_file": str(tmp_path / "m.json")}))


def test_the_first_caption_file_there_is_counts(tmp_path: Path) -> None:
    (tmp_path / "a.b.caption").write_text("here")
    assert caption_beside(tmp_path / "a.b.png", (".txt", ".caption"))[0] == "here"
    _, _, problem = caption_beside(tmp_path / "a.b.png", (".txt",))
    assert problem and problem.remedy == "Write what it shows into a.b.txt beside it."
