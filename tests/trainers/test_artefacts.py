"""What trainers leave, found by its name: pictures joined with prompts, checkpoints, states, weights that are NaN."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bracket.domain import Prompt
from bracket.trainers.artefacts import (
    _BUDGET,
    ai_toolkit_checkpoints,
    ai_toolkit_samples,
    is_finite_checkpoint,
    kohya_checkpoints,
    kohya_samples,
    kohya_states,
)
from bracket.trainers.whole import is_whole
from tests.trainers.leavings import picture, weights

PROMPTS = [Prompt("a dog", 42), Prompt("a cat", 7)]


def names(folder: Path, dialect: str, **more: int) -> list[tuple[int, str, str]]:
    return [(s.step, s.prompt, s.path.name) for s in kohya_samples(folder, PROMPTS, dialect=dialect, **more)]


def test_sd_scripts_pictures(tmp_path: Path) -> None:
    found = [
        "my_best_000010_00_20261121070720_42.png",
        "my_best_000010_01_20261121070721.png",
        "my_best_000005_01_20261121070717.png",
        "my_best_1000000_00_20261121070720.png",  # the number only fills up to six digits
        "000007_00_20261121070717.png",
    ]
    others = ["my_best_000010_02_20261121070722.png", "my_best_10_00_20261121070720_42.png", "note.txt"]
    for name in [*found, *others]:
        picture(tmp_path / name) if name.endswith("png") else (tmp_path / name).write_text("x")
    assert names(tmp_path, "sd-scripts") == [
        (5, "a cat", found[2]),
        (7, "a dog", found[4]),
        (10, "a dog", found[0]),
        (10, "a cat", found[1]),
        (1000000, "a dog", found[3]),
    ]
    assert names(tmp_path, "musubi") == []
    assert names(tmp_path / "nowhere", "sd-scripts") == []


def test_musubi_pictures_and_clips(tmp_path: Path) -> None:
    found = ["x_000005_00_20261121070247_42_000.png", "x_000010_00_20261121070250_000.png"]
    for name in [*found, "x_000005_00_20261121070247_42_001.png"]:  # a second layer of the same picture
        picture(tmp_path / name)
    clip = tmp_path / "x_000015_01_20261121070250_7.mp4"
    clip.write_bytes(struct.pack(">I4s4s", 12, b"ftyp", b"isom") + struct.pack(">I4s", 8, b"moov"))
    assert names(tmp_path, "musubi") == [
        (5, "a dog", found[0]),
        (10, "a dog", found[1]),
        (15, "a cat", clip.name),
    ]


def test_kandinskys_own_names(tmp_path: Path) -> None:
    picture(tmp_path / "sample_000020_01.png")
    (tmp_path / "sample_000020_01.mp4").write_bytes(b"the clip whose first frame that is")
    assert names(tmp_path, "musubi") == [(20, "a cat", "sample_000020_01.png")]


def test_pictures_named_by_epoch_get_their_step(tmp_path: Path) -> None:
    first, second, last = (f"x_e{epoch:06d}_00_2026112107024{epoch}_42.png" for epoch in (0, 1, 3))
    for name in (first, second, last):
        picture(tmp_path / name)
    assert names(tmp_path, "sd-scripts") == [(0, "a dog", first)], "an epoch is not mistaken for a step"
    by_step = [(0, "a dog", first), (6, "a dog", second), (18, "a dog", last)]
    assert names(tmp_path, "sd-scripts", steps_per_epoch=6) == by_step
    by_step[-1] = (14, "a dog", last)
    assert names(tmp_path, "sd-scripts", steps_per_epoch=6, last_step=14) == by_step


def test_a_set_drawn_twice_counts_once(tmp_path: Path) -> None:
    for name in ("x_000014_00_20261121070248_42_000.png", "x_e000002_00_20261121070248_42_000.png"):
        picture(tmp_path / name)
    twice = names(tmp_path, "musubi", steps_per_epoch=7)
    assert twice == [(14, "a dog", "x_e000002_00_20261121070248_42_000.png")]


def test_a_picture_still_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "x_000014_00_20261121070248.png"
    picture(path)
    whole = path.read_bytes()
    for length in (0, 20, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert names(tmp_path, "sd-scripts") == []
    path.write_bytes(whole)
    assert len(names(tmp_path, "sd-scripts")) == 1


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_whole_pictures(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.effect_noise((16, 16), 50).save(path)
    whole = path.read_bytes()
    assert is_whole(path)
    for length in (0, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        assert not is_whole(path)
    assert not is_whole(tmp_path / f"missing-{name}")


def test_whole_clips(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    start = struct.pack(">I4s4s", 12, b"ftyp", b"isom")
    data = struct.pack(">I4sQ", 1, b"mdat", 24) + b"pictures"
    index = struct.pack(">I4s4s", 12, b"moov", b"time")
    for content, whole in (
        (start + data + index, True),
        (start + index + struct.pack(">I4s", 0, b"mdat") + b"up to the end", True),
        (start + data + index[:-1], False),
        (start + data, False),
        (start + struct.pack(">I4s", 0, b"mdat") + b"still growing", False),
        (b"", False),
        (b"no clip at all, as it seems", False),
    ):
        path.write_bytes(content)
        assert is_whole(path) is whole, content


def test_kohya_checkpoints_and_states(tmp_path: Path) -> None:
    name = "my.lora"
    endings = ["", "-000001", "-000010", "-step00000005", "-step00000100"]
    for ending in endings:
        weights(tmp_path / f"{name}{ending}.safetensors")
        (tmp_path / f"{name}{ending}-state").mkdir()
    for other in ("my.lora-2", "my.lora-00001", "myxlora", "my.lora-step5", "another"):
        weights(tmp_path / f"{other}.safetensors")
    (tmp_path / "my.lora-000011-state").write_text("no folder")
    wanted = [("epoch", 1), ("epoch", 10), ("step", 5), ("step", 100), ("final", 0)]
    assert [(s.kind, s.number) for s in kohya_checkpoints(tmp_path, name)] == wanted
    assert [(s.kind, s.number) for s in kohya_states(tmp_path, name)] == wanted
    assert kohya_checkpoints(tmp_path, name, ".ckpt") == [] == kohya_checkpoints(tmp_path / "nowhere", name)


def test_ai_toolkit_checkpoints(tmp_path: Path) -> None:
    for name in ("job_000000250", "job_000001000", "job", "job_merged", "job_2", "other_000000250"):
        weights(tmp_path / f"{name}.safetensors")
    (tmp_path / "optimizer.pt").write_bytes(b"state")
    found = ai_toolkit_checkpoints(tmp_path, "job")
    assert [(s.path.name, s.kind, s.number) for s in found] == [
        ("job_000000250.safetensors", "step", 250),
        ("job_000001000.safetensors", "step", 1000),
        ("job.safetensors", "final", 0),
    ]


def test_ai_toolkit_checkpoints_of_two_experts_and_in_folders(tmp_path: Path) -> None:
    for expert in ("low_noise", "high_noise"):
        weights(tmp_path / "wan" / f"job_LoRA_000000010_{expert}.safetensors")
        weights(tmp_path / "wan" / f"job_LoRA_{expert}.safetensors")
    found = ai_toolkit_checkpoints(tmp_path / "wan", "job")
    assert [(s.kind, s.number, s.expert) for s in found] == [
        ("step", 10, "high_noise"),
        ("step", 10, "low_noise"),
        ("final", 0, "high_noise"),
        ("final", 0, "low_noise"),
    ]
    for folder in ("job_000000010", "job.safetensors", "samples"):
        (tmp_path / "full" / folder).mkdir(parents=True)
    found = ai_toolkit_checkpoints(tmp_path / "full", "job")
    assert [(s.path.name, s.kind) for s in found] == [("job_000000010", "step"), ("job.safetensors", "final")]


def test_ai_toolkit_pictures(tmp_path: Path) -> None:
    for name in ("1700000000001__000000250_1.jpg", "1700000000000__000000250_0.jpg", "1700000000002__000000000_0.webp"):
        picture(tmp_path / name)
    picture(tmp_path / "1700000000000__000000250_2.jpg")  # of no prompt
    picture(tmp_path / "1700000000_000000250_0.jpg")
    assert [(s.step, s.prompt, s.seed) for s in ai_toolkit_samples(tmp_path, PROMPTS)] == [
        (0, "a dog", 42),
        (250, "a dog", 42),
        (250, "a cat", 7),
    ]


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
def test_weights_that_are_no_numbers(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "a.safetensors"
    for values, finite in (
        ((0.0, -1.5, 60000.0), True),
        ((0.0, math.nan, 1.0), False),
        ((0.0, 1.0, -math.inf), False),
    ):
        weights(path, dtype, values)
        assert is_finite_checkpoint(path) is finite


def test_what_can_not_be_said(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert is_finite_checkpoint(path) is None
    weights(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert is_finite_checkpoint(path) is None, "cut short"
    header = json.dumps({"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    assert is_finite_checkpoint(path) is None, "no floats"
    assert is_finite_checkpoint(tmp_path / "empty") is None


def test_a_folder_of_weights(tmp_path: Path) -> None:
    weights(tmp_path / "unet" / "a.safetensors")
    weights(tmp_path / "text_encoder" / "b.safetensors")
    assert is_finite_checkpoint(tmp_path) is True
    weights(tmp_path / "text_encoder" / "b.safetensors", "F16", (math.nan,))
    assert is_finite_checkpoint(tmp_path) is False


def test_of_a_large_file_a_part_of_every_tensor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    count = _BUDGET  # four bytes each: four times what is read
    tensors = {"fine": np.zeros(count, "<f4"), "small": np.zeros(3, "<f4")}
    for bad, finite in ((None, True), ("small", False), ("fine", False)):
        if bad:
            tensors = {"fine": np.zeros(count, "<f4"), "small": np.zeros(3, "<f4")}
            tensors[bad][:] = math.nan
        header, offset = {}, 0
        for name, values in tensors.items():
            header[name] = {"dtype": "F32", "shape": [len(values)], "data_offsets": [offset, offset + values.nbytes]}
            offset += values.nbytes
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(v.tobytes() for v in tensors.values()))
        assert is_finite_checkpoint(path) is finite
