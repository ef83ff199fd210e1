"""Weights that are not all there, or of a kind no trainer loads: one sentence and what to do."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest

from bracket.errors import StorageError
from bracket.presets import find_preset
from bracket.weights.download import check_whole
from bracket.weights.header import read_header
from tests.weights.made import write_safetensors

TENSOR = {"some.weight": (2, 2)}


def said(path: Path, *kinds: str) -> str:
    try:
        check_whole(path, kinds)
    except StorageError as error:
        assert error.remedy, error.message
        return str(error)
    return ""


@pytest.mark.parametrize("end", [".part", ".incomplete", ".aria2", ".crdownload", ".download", ".!qB"])
def test_an_unfinished_download_is_told_by_its_name_and_by_what_lies_beside(tmp_path: Path, end: str) -> None:
    whole = write_safetensors(tmp_path / "flux.safetensors", TENSOR)
    assert said(whole) == ""
    part = tmp_path / f"flux.safetensors{end}"
    part.write_bytes(b"\0" * 10)
    assert f"{part.name} lies beside it" in said(whole)
    assert "isn't finished" in said(part)


def test_a_weight_of_which_there_is_only_a_part_is_named(tmp_path: Path) -> None:
    (tmp_path / "ae.safetensors.part").write_bytes(b"x")
    preset = find_preset("sd-scripts-flux1-dev-lora")
    problem = preset.check_weights({"ae": str(tmp_path / "ae.safetensors")})[-1]
    assert problem.level == "error" and "only ae.safetensors.part" in problem.message


@pytest.mark.parametrize("preset", ["sd-scripts-flux1-dev-lora", "musubi-wan21-i2v-14b-lora", "sd-scripts-sd15-lora"])
def test_no_part_of_a_preset_takes_a_gguf_file(tmp_path: Path, preset: str) -> None:
    (tmp_path / "q.gguf").write_bytes(b"GGUF")
    weights = find_preset(preset).weights
    found = find_preset(preset).check_weights({w.key: str(tmp_path / "q.gguf") for w in weights})
    assert [p.level for p in found] == ["error"] * len(weights)
    assert all("GGUF" in p.message and p.remedy for p in found)


@pytest.mark.parametrize(
    ("name", "content", "kinds", "sentence"),
    [
        ("v1.ckpt", b"PK\3\4...", ("sd15",), ""),
        ("umt5.pth", b"PK\3\4...", ("umt5-xxl",), ""),
        ("flux.ckpt", b"PK\3\4...", ("flux1-dev",), "This is a pickle of PyTorch"),
        ("t5.bin", b"\x80\2...", ("t5-xxl",), "This is a pickle of PyTorch"),
        ("v1.ckpt", b"", ("sd15",), "This file is empty"),
        ("v1.ckpt", b"<!DOCTYPE html>", ("sd15",), "This is a web page"),
        ("v1.ckpt", b"version https://git-lfs.github.com/spec/v1", ("sd15",), "This is a Git LFS pointer"),
        ("v1.ckpt", bytes(5000), ("sd15",), "This file begins with nothing"),
        ("flux.zip", b"PK\3\4", ("flux1-dev",), "This is an archive"),
        ("flux.safetensors", b"", ("flux1-dev",), "This file is empty"),
    ],
)
def test_files_by_kind(tmp_path: Path, name: str, content: bytes, kinds: tuple[str, ...], sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert said(tmp_path / name, *kinds).startswith(sentence) and bool(said(tmp_path / name, *kinds)) == bool(sentence)


def pipeline(folder: Path) -> Path:
    index = {
        "_class_name": "FluxPipeline",
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "safety_checker": [None, None],
        "transformer": ["diffusers", "FluxTransformer2DModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    for name in ("scheduler", "tokenizer", "transformer", "vae"):
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")
    (folder / "model_index.json").write_text(json.dumps(index))
    write_safetensors(folder / "vae" / "diffusion_pytorch_model.safetensors", TENSOR)
    names = [f"diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for n, name in enumerate(names):
        write_safetensors(folder / "transformer" / name, {f"{n}.weight": (2, 2)})
    weights = {f"{n}.weight": name for n, name in enumerate(names)}
    index_file = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index_file.write_text(json.dumps({"weight_map": weights}))
    return folder


def test_a_whole_pipeline_is_fine_and_each_part_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "flux")
    assert said(folder) == ""
    assert said(folder / "vae") == "" and said(folder / "transformer") == ""
    second = folder / "transformer" / "diffusion_pytorch_model-00002-of-00002.safetensors"
    whole = second.read_bytes()
    second.write_bytes(whole[:-3])
    assert "cut short" in said(folder)
    second.unlink()
    assert f"1 files of its weights are missing, such as {second.name}" in said(folder)
    second.write_bytes(whole)
    cache = folder / ".cache" / "huggingface" / "download"
    cache.mkdir(parents=True)
    (cache / "aGVsbG8=.incomplete").write_bytes(b"x")
    vae = folder / "vae" / "diffusion_pytorch_model.safetensors"
    vae.unlink()
    assert "The folder holds no weights" in said(folder) and "aGVsbG8=.incomplete" in said(folder)
    (folder / "vae" / "config.json").unlink()
    assert "The folder holds no weights" in said(folder)  # a folder that was made and never filled
    (folder / "vae").rmdir()
    assert "The folder has no vae" in said(folder)


def header(entries: dict[str, object], data: int = 0) -> bytes:
    text = json.dumps(entries).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


@pytest.mark.parametrize(
    "content",
    [
        header({"a": {"dtype": "F32", "shape": [1 << 60], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "F32", "shape": [1 << 40, 1 << 40], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 8]}}, 8),
        header({"a": {"dtype": "F32", "shape": [1] * 5000, "data_offsets": [0, 4]}}, 4),
        header({"a": {"dtype": "F32", "shape": "22", "data_offsets": [0, 16]}}, 16),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}}, 8),
        header({f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(100_001)}),
        struct.pack("<Q", 60_000_000) + b"{" + bytes(60_000_000),
        struct.pack("<Q", 20_000) + b"[" * 20_000,
    ],
    ids=["huge", "huger", "negative", "real", "bool", "axes", "text", "backwards", "many", "large", "nested"],
)
def test_absurd_headers_are_refused_soon(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(StorageError):
        read_header(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_devices_and_circles_are_no_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.safetensors")
    (tmp_path / "a.safetensors").symlink_to(tmp_path / "b.safetensors")
    (tmp_path / "b.safetensors").symlink_to(tmp_path / "a.safetensors")
    for path in (tmp_path / "model.safetensors", tmp_path / "a.safetensors", Path("/dev/zero")):
        assert said(path)
        with pytest.raises(StorageError):
            read_header(path)
