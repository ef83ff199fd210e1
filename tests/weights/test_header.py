from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import pytest

from bracket.errors import StorageError
from bracket.weights.header import read_header, read_set
from tests.weights.conftest import Writer
from tests.weights.made import write_safetensors


def test_names_shapes_and_notes(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", {"x": (2, 3), "scalar": ()}, {"format": "pt"})
    header = read_header(path)
    assert header.tensors == {"x": (2, 3), "scalar": ()}
    assert header.metadata == {"format": "pt"}


def test_a_file_that_the_library_wrote(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    import numpy as np

    numpy.save_file({"x": np.zeros((2, 3), np.float32), "y": np.ones(4, np.float16)}, tmp_path / "a.safetensors")
    assert read_header(tmp_path / "a.safetensors").tensors == {"x": (2, 3), "y": (4,)}


class _Counted(io.FileIO):
    """A file that counts what is read of it."""

    bytes_read = 0

    def readinto(self, buffer: Any) -> int | None:
        count = super().readinto(buffer)
        _Counted.bytes_read += count or 0
        return count


def test_of_a_large_file_only_the_header_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {f"blocks.{i}.weight": (5120, 13824) for i in range(90)} | {f"norms.{i}.scale": (8,) for i in range(3000)}
    path = write_safetensors(tmp_path / "large.safetensors", shapes)
    assert path.stat().st_size > 12e9
    monkeypatch.setattr(_Counted, "bytes_read", 0)
    monkeypatch.setattr(Path, "open", lambda self, mode: io.BufferedReader(_Counted(self)))
    assert len(read_header(path).tensors) == 3090
    assert 250_000 < _Counted.bytes_read < 500_000


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "This file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 24\n", "This is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "This is a web page, not weights"),
        (b"\xef\xbb\xbf<HTML>", "This is a web page, not weights"),
        (b'{"error": "Repository not found"}', "This is a text file, not weights"),
        (b"Entry not found", "This is an error message of a server"),
        (b"PK\x03\x04" + b"\0" * 60, "This is a PyTorch checkpoint with another name"),
        (b"GGUF\x03\0\0\0" + b"\0" * 60, "This is a GGUF file with another name"),
        (b"\0" * 4096, "This file begins with nothing"),
        (b"abc", "This is no safetensors file"),
        (struct.pack("<Q", 16) + b'{"a": [1, 2, 3]}', "This is no safetensors file"),
        (struct.pack("<Q", 16) + b"not json at all!", "This is no safetensors file"),
        (struct.pack("<Q", 4) + b"[1] ", "This is no safetensors file"),
    ],
)
def test_what_only_claims_to_be_safetensors(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(StorageError) as caught:
        read_header(path)
    assert caught.value.message.startswith(sentence)
    assert caught.value.path == path


def test_a_download_cut_short_says_how_much_is_there(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", {"x": (100, 100)})
    whole = path.stat().st_size
    for size in (whole - 1, 30):  # within the weights, within the header
        with path.open("r+b") as file:
            file.truncate(size)
        with pytest.raises(StorageError, match=f"cut short: {size:,} of"):
            read_header(path)


def test_a_file_longer_than_its_header_says(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "a.safetensors", {"x": (4,)})
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(StorageError, match="longer than its header says"):
        read_header(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(StorageError):
            read_header(path)


def test_a_set_is_read_as_one(tmp_path: Path) -> None:
    for number in (1, 2):
        write_safetensors(tmp_path / f"m-0000{number}-of-00002.safetensors", {f"t{number}": (number,)})
    header = read_set(tmp_path / "m-00002-of-00002.safetensors")
    assert header.tensors == {"t1": (1,), "t2": (2,)}


def test_a_set_with_a_file_missing(file_of: Writer) -> None:
    path = file_of("z-image (musubi)", "dit-00001-of-00003.safetensors")
    with pytest.raises(StorageError, match="File 2 of 3 of this set is missing") as caught:
        read_set(path)
    assert Path(caught.value.path or "").name == "dit-00002-of-00003.safetensors"
