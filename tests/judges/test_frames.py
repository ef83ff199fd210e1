from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.environment import child_env
from bracket.errors import JudgeError
from bracket.judges import frames
from bracket.judges.frames import flicker, frames_of, is_clip, motion, strip

VIDEO = ("a.mp4", "a.mov", "a.webm", "a.mkv", "a.avi")
MOVING = ("a.gif", "a.webp", "a.png", "a.avif")


def write_video(path: Path, count: int = 20, **options: str) -> Path:
    """Frame n is grey of level 10 · n."""
    av = pytest.importorskip("av")
    codec = {".webm": "libvpx-vp9", ".mp4": "libx264"}.get(path.suffix, "mpeg4")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=8)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for number in range(count):
            picture = Image.new("RGB", (64, 64), (number * 10 % 250,) * 3)
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return path


def write_animation(path: Path, count: int = 7) -> Path:
    pictures = [Image.new("RGB", (64, 64), (n * 10,) * 3) for n in range(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], lossless=True)
    return path


def levels(paths: list[Path]) -> list[int]:
    return [int(np.asarray(Image.open(p))[32, 32, 0]) for p in paths]


@pytest.mark.parametrize("name", VIDEO)
def test_frames_are_even_with_first_and_last(tmp_path: Path, name: str) -> None:
    clip = write_video(tmp_path / name)
    assert is_clip(clip)
    assert levels(frames_of(clip, 5, tmp_path / "out")) == pytest.approx([0, 50, 100, 140, 190], abs=3)
    assert strip(clip).shape == (20, 64, 64, 3) and strip(clip, 6).shape == (6, 64, 64, 3)


@pytest.mark.parametrize("name", MOVING)
def test_animated_pictures_are_clips(tmp_path: Path, name: str) -> None:
    clip = write_animation(tmp_path / name)
    assert is_clip(clip)
    assert levels(frames_of(clip, 4, tmp_path / "out")) == pytest.approx([0, 20, 40, 60], abs=1)
    assert strip(clip)[:, 0, 0, 0] * 255 == pytest.approx([0, 10, 20, 30, 40, 50, 60], abs=1)


def test_a_short_clip_gives_all_it_has_and_one_frame_is_the_middle(tmp_path: Path) -> None:
    clip = write_animation(tmp_path / "a.gif", 3)
    assert len(frames_of(clip, 9, tmp_path / "out")) == 3
    assert levels(frames_of(clip, 1, tmp_path / "out")) == [10]
    assert levels(frames_of(clip, 2, tmp_path / "out")) == [0, 20]
    one = write_video(tmp_path / "one.mp4", 1)
    assert is_clip(one) and len(frames_of(one, 5, tmp_path / "out")) == 1


def test_a_still_picture_is_no_clip_and_its_own_frame(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), (1, 2, 3)).save(tmp_path / "a.png")
    assert not is_clip(tmp_path / "a.png")
    (frame,) = frames_of(tmp_path / "a.png", 5, tmp_path / "out")
    assert Image.open(frame).getpixel((0, 0)) == (1, 2, 3)


def test_pages_of_a_tiff_are_no_animation(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (9, 9)), Image.new("RGB", (9, 9), "white")]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    assert not is_clip(tmp_path / "a.tiff")


def test_what_a_file_holds_counts_not_its_name(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4").rename(tmp_path / "a.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "b.mp4", "PNG")
    assert is_clip(video) and not is_clip(tmp_path / "b.mp4")
    assert len(frames_of(video, 3, tmp_path / "out")) == 3


def test_a_long_clip_is_jumped_through(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", 3000)
    assert levels(frames_of(clip, 3, tmp_path / "out")) == pytest.approx([0, 0, 2999 * 10 % 250], abs=3)


def test_frames_are_made_once_and_by_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_animation(tmp_path / "a.gif")
    first = frames_of(clip, 3, tmp_path / "out")
    monkeypatch.setattr(frames, "_chosen", None)
    assert frames_of(clip.rename(tmp_path / "b.gif"), 3, tmp_path / "out") == first
    assert [p.name for p in first] == ["000.png", "001.png", "002.png"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.mp4", b"", "the file is empty"),
        ("a.mp4", b"no clip at all", "can't be read"),
        ("a.gif", b"GIF89a no clip", "can't be read"),
        ("a.webm", b"\x1aE\xdf\xa3" + bytes(100), "clip"),
    ],
)
def test_a_damaged_clip_is_named_and_leaves_nothing(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    pytest.importorskip("av")
    (tmp_path / name).write_bytes(content)
    for read in (lambda p: frames_of(p, 3, tmp_path / "out"), strip):
        with pytest.raises(JudgeError, match=said) as caught:
            read(tmp_path / name)
        assert caught.value.path == tmp_path / name
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.avi", "a.gif", "a.webp", "a.png"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_torn_clip_is_named(tmp_path: Path, name: str, share: float) -> None:
    clip = (write_video if name in VIDEO else write_animation)(tmp_path / name)
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * share)])
    with pytest.raises(JudgeError) as caught:
        frames_of(clip, 4, tmp_path / "out")
    assert caught.value.path == clip


def test_a_clip_whose_index_says_more_than_it_holds_is_cut_short(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", 60, movflags="faststart")
    clip.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * 0.6)])
    with pytest.raises(JudgeError, match=r"cut short: [0-9]+ of its 60 frames"):
        frames_of(clip, 4, tmp_path / "out")


def test_a_missing_clip_is_named(tmp_path: Path) -> None:
    for read in (lambda p: frames_of(p, 3, tmp_path / "out"), strip):
        with pytest.raises(JudgeError, match=r"a\.mp4"):
            read(tmp_path / "a.mp4")


def test_without_the_package_a_video_is_told_and_an_animation_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    write_animation(tmp_path / "a.gif")
    code = (
        "import sys; sys.modules['av'] = None; from pathlib import Path; from bracket.judges.frames import frames_of\n"
        "p = Path(sys.argv[1]); print(len(frames_of(p / 'a.gif', 3, p / 'out')))\n"
        "try: frames_of(p / 'a.mp4', 3, p / 'out')\n"
        "except Exception as e: print(e, e.path)"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, env=child_env(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "3", "clips can't be judged without the package av. Install it: python -m pip install av None",
    ]  # fmt: skip


def clip_of(values: list[float]) -> frames.Frames:
    """Flat frames of these brightnesses."""
    return np.broadcast_to(np.array(values, np.float32)[:, None, None, None], (len(values), 64, 64, 3))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 0, 1, 0], 1.0),  # every change is undone by the next
        ([0, 0.25, 0.5, 0.75, 1], 0.0),  # a fade
        ([0, 0, 1, 1], 0.0),  # a cut
        ([0.5, 0.5, 0.7, 0.5, 0.5, 0.5, 0.5], 0.2 / 5),  # one flash of 0.2 in five places it could be
        ([0, 1], 0.0),
        ([0], 0.0),
    ],
)
def test_flicker_is_brightness_that_goes_and_comes_back(values: list[float], expected: float) -> None:
    assert flicker(clip_of(values)) == pytest.approx(expected, abs=1e-6)


def test_a_flash_is_no_motion_and_a_pan_no_flicker() -> None:
    assert motion(clip_of([0, 1, 0, 1])) == 0.0
    edge = np.zeros((8, 64, 64, 3), np.float32)
    for number in range(8):
        edge[number, :, : 8 * number] = 1.0
    assert flicker(edge) == 0.0 and motion(edge) > 0.1


def test_motion_of_swapped_halves_is_1_and_of_a_still_0() -> None:
    half = np.zeros((64, 64, 3), np.float32)
    half[:, :32] = 1
    assert motion(np.stack([half, 1 - half, half])) == pytest.approx(1.0)
    assert motion(np.stack([half, half])) == 0.0 and motion(half[None]) == 0.0


def test_noise_moves_and_hardly_flickers() -> None:
    noise = np.random.default_rng(0).random((9, 64, 64, 3), np.float32)
    assert motion(noise) == pytest.approx(1 / 3, abs=0.01) and flicker(noise) < 0.02
