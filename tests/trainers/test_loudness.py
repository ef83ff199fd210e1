from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bracket.trainers import loudness as module
from bracket.trainers.loudness import loudness

DOWN = np.array([[3, 0, 0], [0, 4, 0]], np.float32)
UP = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], np.float32)
"""B A has a 3 and a 4 in it: its size is 5, over the root of 4 outputs 2.5."""


def _file(folder: Path, tensors: dict[str, np.ndarray], **metadata: str) -> Path:
    path = folder / "lora.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path, metadata or None)
    return path


def _raw(folder: Path, tensors: dict[str, tuple[str, list[int], bytes]]) -> Path:
    """A file with any header."""
    header: dict[str, Any] = {}
    body = b""
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path = folder / "raw.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_kohya_peft_and_convolutions_are_read(tmp_path: Path) -> None:
    kohya = {"unet_q.lora_down.weight": DOWN, "unet_q.lora_up.weight": UP}
    assert loudness(_file(tmp_path, kohya)) == pytest.approx(2.5)
    # alpha 1 over rank 2 halves it
    assert loudness(_file(tmp_path, {**kohya, "unet_q.alpha": np.array(1, np.float32)})) == pytest.approx(1.25)
    peft = {"transformer.q.lora_A.weight": DOWN, "transformer.q.lora_B.weight": UP}
    assert loudness(_file(tmp_path, peft)) == pytest.approx(2.5)
    told = {"transformer.r": 2, "transformer.lora_alpha": 4}
    assert loudness(_file(tmp_path, peft, lora_adapter_metadata=json.dumps(told))) == pytest.approx(5.0)
    conv = {"c.lora_down.weight": DOWN[:, :, None, None], "c.lora_up.weight": UP[:, :, None, None]}
    assert loudness(_file(tmp_path, conv)) == pytest.approx(2.5)


def test_it_is_the_median_over_layers_and_over_the_files_of_a_folder(tmp_path: Path) -> None:
    layers = {}
    for number, size in enumerate((1, 2, 100)):
        layers |= {f"{number}.lora_A.weight": DOWN, f"{number}.lora_B.weight": size * UP}
    path = _file(tmp_path, layers)
    assert loudness(path) == loudness(tmp_path) == pytest.approx(5.0)


def test_half_precision_is_read(tmp_path: Path) -> None:
    half = {"q.lora_A.weight": DOWN.astype(np.float16), "q.lora_B.weight": UP.astype(np.float16)}
    assert loudness(_file(tmp_path, half)) == pytest.approx(2.5)
    # These numbers are the same in bfloat16: the upper half of their bits.
    down, up = ((array.view(np.uint32) >> 16).astype("<u2").tobytes() for array in (DOWN, UP))
    raw = {"q.lora_A.weight": ("BF16", [2, 3], down), "q.lora_B.weight": ("BF16", [4, 2], up)}
    assert loudness(_raw(tmp_path, raw)) == pytest.approx(2.5)


def test_what_overflows_is_infinitely_loud(tmp_path: Path) -> None:
    huge = {"q.lora_A.weight": 1e30 * DOWN, "q.lora_B.weight": 1e30 * UP}
    assert loudness(_file(tmp_path, huge)) == math.inf


@pytest.mark.parametrize(
    "tensors",
    [
        {"q.lokr_w1": DOWN, "q.lokr_w2": UP},
        {"q.weight": DOWN},
        {"q.lora_A.weight": DOWN},
        {"q.lora_A.weight": DOWN, "q.lora_B.weight": UP, "q.lora_magnitude_vector.weight": DOWN[0]},
        {"q.lora_down.weight": DOWN, "q.lora_up.weight": UP, "q.lora_mid.weight": DOWN},
        {"q.lora_A.weight": DOWN, "q.lora_B.weight": UP.T},  # ranks that don't agree
        {"q.lora_A.weight": DOWN[0], "q.lora_B.weight": UP},
        {"q.lora_A.weight": DOWN[:0], "q.lora_B.weight": UP[:, :0]},
    ],
)
def test_what_is_no_plain_lora_says_nothing(tmp_path: Path, tensors: dict[str, np.ndarray]) -> None:
    assert loudness(_file(tmp_path, tensors)) is None


def test_hostile_files_say_nothing(tmp_path: Path) -> None:
    lies = {"q.lora_A.weight": ("F32", [2, 3], bytes(12)), "q.lora_B.weight": ("F32", [4, 2], bytes(32))}
    assert loudness(_raw(tmp_path, lies)) is None, "half the bytes that the shape asks for"
    odd = {"q.lora_A.weight": ("F4", [2, 3], bytes(24)), "q.lora_B.weight": ("F32", [4, 2], bytes(32))}
    assert loudness(_raw(tmp_path, odd)) is None
    path = tmp_path / "other.safetensors"
    for content in (b"", b"PK\x03\x04", (1 << 40).to_bytes(8, "little") + b"{"):
        path.write_bytes(content)
        assert loudness(path) is None
    assert loudness(tmp_path / "missing.safetensors") is None
    metadata = json.dumps({"a.lora_alpha": [1], "b": {}})
    assert loudness(_file(tmp_path, {"q.lora_A.weight": DOWN, "q.lora_B.weight": UP}, lora_adapter_metadata=metadata))


def test_of_a_large_file_no_more_is_read_than_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = {}
    for number in range(40):
        layers |= {f"{number:02d}.lora_A.weight": DOWN, f"{number:02d}.lora_B.weight": UP}
    path = _file(tmp_path, layers)
    read: list[str] = []
    kept = module._read
    monkeypatch.setattr(module, "_read", lambda file, header, name: read.append(name) or kept(file, header, name))
    monkeypatch.setattr(module, "_BUDGET", 10 * (DOWN.nbytes + UP.nbytes))
    assert loudness(path) == pytest.approx(2.5)
    assert [name for name in read if "_A" in name] == [f"{n:02d}.lora_A.weight" for n in range(0, 40, 4)]
