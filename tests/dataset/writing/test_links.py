from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from bracket.dataset import link_pictures, scan, split
from bracket.dataset.writing.links import RECORD
from bracket.domain import DatasetSplit, Picture, Source
from bracket.errors import DatasetError


def picture(path: Path, caption: str = "", *, number: int = 0, controls: tuple[Path, ...] = ()) -> Picture:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(str(path).encode())
    return Picture(path, caption, 64, 64, number, controls)


def whole(folder: Path, *pictures: Picture, sources: tuple[Source, ...] = ()) -> DatasetSplit:
    return DatasetSplit(folder, pictures, (), (), (), sources=sources)


def held(folder: Path) -> dict[str, str]:
    """Every file below by its path, with what it holds (of a picture: the path it was made with)."""
    return {p.relative_to(folder).as_posix(): p.read_text() for p in walk(folder) if p.name != RECORD}


def walk(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root) / n for n in names)


def state(folder: Path) -> dict[Path, int]:
    return {p: p.lstat().st_mtime_ns for p in walk(folder)}


def test_pictures_are_linked_with_their_captions_as_they_are_read(tmp_path: Path) -> None:
    mine, links = tmp_path / "my \"pictures\" 'ö'", tmp_path / "links"
    pictures = [picture(mine / "größe 1's.png", "a\nb"), picture(mine / '日本 "x".JPG'), picture(mine / "c.tif", "c")]
    before = held(mine)
    (source,) = link_pictures(whole(mine, *pictures), pictures[:2], links)
    assert source == Source(links / "0-my \"pictures\" 'ö'")
    assert held(source.folder) == {
        "größe 1's.png": str(pictures[0].path),
        "größe 1's.txt": "a\nb\n",
        '日本 "x".jpg': str(pictures[1].path),
        '日本 "x".txt': "\n",
    }
    assert (source.folder / "größe 1's.png").is_symlink()
    assert held(mine) == before


def test_kinds_that_some_trainers_overlook_are_linked_as_png(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "a.tiff"
    path.parent.mkdir()
    Image.new("RGB", (20, 30)).save(path)
    one = Picture(path, "", 20, 30)
    (source,) = link_pictures(whole(path.parent, one), [one], tmp_path / "links")
    with Image.open(source.folder / "a.png") as image:
        assert image.size == (20, 30)


def test_equal_stems_get_names_of_their_own_whatever_is_chosen(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    names = ("a.jpg", "a.png", "A.webp", "validation/a.png")
    pictures = [picture(mine / n, n) for n in names]
    made = whole(mine, *pictures)
    (source,) = link_pictures(made, pictures, tmp_path / "all")
    captions = {k: v.strip() for k, v in held(source.folder).items() if k.endswith(".txt")}
    assert captions == {"A.txt": "A.webp", "2-a.txt": "a.jpg", "3-a.txt": "a.png", "4-a.txt": "validation/a.png"}
    (alone,) = link_pictures(made, pictures[1:2], tmp_path / "alone")
    assert set(held(alone.folder)) == {"3-a.png", "3-a.txt"}


def test_a_second_call_changes_nothing_and_keeps_the_trainers_caches(tmp_path: Path) -> None:
    pictures = [picture(tmp_path / "mine" / f"{n}.png", n) for n in "abc"]
    made = whole(tmp_path / "mine", *pictures)
    (source,) = link_pictures(made, pictures, tmp_path / "links")
    (source.folder / "a_0064x0064_sdxl.npz").write_text("latents")
    before = state(tmp_path)
    assert link_pictures(made, pictures, tmp_path / "links") == (source,)
    assert state(tmp_path) == before


def test_what_no_longer_belongs_goes_and_what_changed_takes_its_caches_with_it(tmp_path: Path) -> None:
    mine, links = tmp_path / "mine", tmp_path / "links"
    pictures = [picture(mine / f"{n}.png", n) for n in ("a", "a_b", "c", "d")]
    (source,) = link_pictures(whole(mine, *pictures), pictures, links)
    (source.folder / "_latent_cache").mkdir()
    for stem in ("a", "a_b", "c", "d"):
        (source.folder / f"{stem}_0064x0064_sdxl.npz").write_text("latents")
        (source.folder / f"{stem}_te_outputs.npz").write_text("text")
        (source.folder / "_latent_cache" / f"{stem}_x_1.safetensors").write_text("latents")
    (source.folder / "metadata_cache.json").write_text("{}")
    pictures[0].path.write_bytes(b"another picture")
    pictures[2] = replace(pictures[2], caption="new")
    untouched = (source.folder / "a_b.png").lstat().st_mtime_ns
    link_pictures(whole(mine, *pictures), pictures[:3], links)
    assert held(source.folder) == {
        "a.png": "another picture",
        "a.txt": "a\n",
        "a_b.png": str(pictures[1].path),
        "a_b.txt": "a_b\n",
        "a_b_0064x0064_sdxl.npz": "latents",
        "a_b_te_outputs.npz": "text",
        "_latent_cache/a_b_x_1.safetensors": "latents",
        "c.png": str(pictures[2].path),
        "c.txt": "new\n",
        "metadata_cache.json": "{}",
    }
    assert (source.folder / "a_b.png").lstat().st_mtime_ns == untouched
    assert pictures[3].path.exists()
    assert link_pictures(whole(mine, *pictures), [], links) == ()
    assert held(links) == {"0-mine/metadata_cache.json": "{}"}  # no file of ours, so it stays


def test_control_pictures_lie_under_the_pictures_stem(tmp_path: Path) -> None:
    mine, control = tmp_path / "mine", tmp_path / "control"
    one = picture(mine / "cat.png", "x", controls=(picture(control / "cat_7.jpg").path,))
    two = picture(mine / "dog.png", "y", controls=(picture(control / "dog.bmp").path,))
    sources = (Source(mine, controls=(control,), options={"resolution": 512}),)
    (source,) = link_pictures(whole(mine, one, two, sources=sources), [one, two], tmp_path / "links")
    assert source.controls == (tmp_path / "links" / "0-mine-control",)
    assert set(held(source.controls[0])) == {"cat.jpg", "dog.png"}
    assert source.options == {"resolution": 512}


def test_several_controls_lie_apart_and_together(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    controls = tuple(picture(tmp_path / "control" / f"{n}.png").path for n in "pq")
    # As they are called, musubi-tuner would give cat_1 to the picture cat_1 or to cat.
    cat, other = picture(mine / "cat.png", controls=controls), picture(mine / "cat_1.png", controls=controls[:1])
    sources = (Source(mine, controls=(tmp_path / "control",)),)
    (source,) = link_pictures(whole(mine, cat, other, sources=sources), [cat, other], tmp_path / "links")
    assert [c.name for c in source.controls] == ["0-mine-control-1", "0-mine-control-2"]
    assert [set(held(c)) for c in source.controls] == [{"cat.png", "2-cat_1.png"}, {"cat.png"}]
    together = Path(str(source.options["control_directory"]))
    assert set(held(together)) == {"cat_0.png", "cat_1.png", "2-cat_1_0.png"}


def test_clips_with_frames_as_controls(tmp_path: Path) -> None:
    picture(tmp_path / "control" / "a.b" / "000.png")
    clip = picture(tmp_path / "mine" / "a.b.mp4", "x", controls=(tmp_path / "control" / "a.b",))
    sources = (Source(tmp_path / "mine", "video", controls=(tmp_path / "control",)),)
    (source,) = link_pictures(whole(tmp_path, clip, sources=sources), [clip], tmp_path / "links")
    assert set(held(source.folder)) == {"a.b.mp4", "a.b.txt"}
    assert (source.controls[0] / "a.b" / "000.png").exists()
    link_pictures(whole(tmp_path, clip, sources=sources), [], tmp_path / "links")
    assert (tmp_path / "control" / "a.b" / "000.png").exists()


def test_regularisation_is_linked_whole_and_sources_without_pictures_are_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "reg" / "r.png")
    picture(tmp_path / "reg" / "s.png").path.with_suffix(".caption").write_text("own")
    sources = (
        Source(tmp_path / "empty"),
        Source(tmp_path / "reg", regularisation=True, class_words="star", caption_suffix=".caption"),
        Source(tmp_path / "mine", repeats=3, options={"image_jsonl_file": "x", "flip_aug": True}),
    )
    one = picture(tmp_path / "mine" / "a.png", "x", number=2)
    made = link_pictures(whole(tmp_path, one, sources=sources), [one], tmp_path / "links")
    assert made == (
        Source(tmp_path / "links" / "1-reg", regularisation=True),
        Source(tmp_path / "links" / "2-mine", repeats=3, options={"flip_aug": True}),
    )
    assert {k: v for k, v in held(made[0].folder).items() if k.endswith("txt")} == {"r.txt": "star\n", "s.txt": "own\n"}


def test_further_targets_come_along(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    a, b = picture(mine / "a.png", "x"), picture(mine / "a_b.png", "y")
    for one in (a, b):
        one.path.with_suffix(".txt").write_text(one.caption)
    picture(mine / "a_0.png"), picture(mine / "a_1.jpg")
    sources = (Source(mine, options={"multiple_target": True}),)
    (source,) = link_pictures(whole(mine, a, b, sources=sources), [a], tmp_path / "links")
    assert set(held(source.folder)) == {"a.png", "a.txt", "a_0.png", "a_1.jpg"}


@pytest.mark.parametrize("hard", [True, False])
def test_where_links_are_not_allowed_hard_links_or_copies_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard: bool
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise OSError(1314, "A required privilege is not held by the client")

    monkeypatch.setattr(os, "symlink", forbidden)
    if not hard:
        monkeypatch.setattr(os, "link", forbidden)
    picture(tmp_path / "control" / "a" / "000.png")
    clip = picture(tmp_path / "mine" / "a.mp4", "x", controls=(tmp_path / "control" / "a",))
    sources = (Source(tmp_path / "mine", "video", controls=(tmp_path / "control",)),)
    made = whole(tmp_path, clip, sources=sources)
    (source,) = link_pictures(made, [clip], tmp_path / "links")
    link = source.folder / "a.mp4"
    assert link.samefile(clip.path) == hard and link.read_bytes() == clip.path.read_bytes()
    assert (source.controls[0] / "a" / "000.png").is_file()
    before = state(tmp_path)
    link_pictures(made, [clip], tmp_path / "links")
    assert state(tmp_path) == before
    link_pictures(made, [], tmp_path / "links")
    assert held(tmp_path / "links") == {} and clip.path.exists()


def test_files_that_were_not_made_here_are_left_alone(tmp_path: Path) -> None:
    one = picture(tmp_path / "mine" / "a.png", "x")
    made = whole(tmp_path / "mine", one)
    stranger = picture(tmp_path / "links" / "0-mine" / "a.png").path
    with pytest.raises(DatasetError, match=r"did not make stands here \(.*a\.png\)"):
        link_pictures(made, [one], tmp_path / "links")
    assert stranger.read_text() == str(stranger) and not (tmp_path / "links" / RECORD).exists()
    stranger.unlink()
    note = tmp_path / "links" / "0-mine" / "note.md"
    note.write_text("mine")
    link_pictures(made, [one], tmp_path / "links")
    link_pictures(made, [], tmp_path / "links")
    assert held(tmp_path / "links") == {"0-mine/note.md": "mine"}


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    one = picture(tmp_path / "mine" / "a.png", "x")
    made = whole(tmp_path / "mine", one)
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "0-mine").symlink_to(tmp_path / "mine")
    with pytest.raises(DatasetError, match="is itself a link"):
        link_pictures(made, [one], tmp_path / "links")
    (tmp_path / "links" / "0-mine").unlink()
    (tmp_path / "links" / RECORD).write_text('{"../mine/a.png": ["", ""]}')
    with pytest.raises(DatasetError, match="record of these links is damaged"):
        link_pictures(made, [one], tmp_path / "links")
    (tmp_path / "links" / RECORD).write_text('{"../a.png": ["", ""]}')
    with pytest.raises(DatasetError, match="record of these links is damaged"):
        link_pictures(made, [one], tmp_path / "links")
    assert one.path.exists()


def test_what_a_kill_left_is_finished(tmp_path: Path) -> None:
    pictures = [picture(tmp_path / "mine" / f"{n}.png", n) for n in "ab"]
    made = whole(tmp_path / "mine", *pictures)
    (source,) = link_pictures(made, pictures, tmp_path / "links")
    (source.folder / "b.png").unlink()  # recorded, not yet made
    link_pictures(made, pictures, tmp_path / "links")
    assert (source.folder / "b.png").exists()


def test_a_picture_that_is_gone_is_told(tmp_path: Path) -> None:
    one = picture(tmp_path / "mine" / "a.png", "x")
    one.path.unlink()
    with pytest.raises(DatasetError, match=r"picture is gone \(.*a\.png\)"):
        link_pictures(whole(tmp_path / "mine", one), [one], tmp_path / "links")


def test_the_same_links_come_from_a_scanned_dataset(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for n in range(12):
        Image.new("RGB", (40, 40), (n, n, n)).save(tmp_path / "mine" / f"{n}.png")
        (tmp_path / "mine" / f"{n}.txt").write_text(f"picture {n}")
    made = split(scan(tmp_path / "mine"), 3)
    (train,) = link_pictures(made, made.train, tmp_path / "train")
    (validation,) = link_pictures(made, made.validation, tmp_path / "validation")
    names = [{p.stem for p in s.folder.glob("*.png")} for s in (train, validation)]
    assert names == [{p.path.stem for p in made.train}, {p.path.stem for p in made.validation}]
    assert not names[0] & names[1]
