"""Small git repositories that look like the trainers, and a package index on disk, so that nothing is downloaded."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from bracket.homes import UPSTREAMS

_GIT = ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]

_BACKEND = """\
import os, pathlib, shutil, time
HERE = pathlib.Path(__file__).parent
def build_wheel(folder, settings=None, metadata=None):
    while os.environ.get("SLOW") and pathlib.Path(os.environ["SLOW"]).exists():
        pathlib.Path(os.environ["SLOW"] + ".seen").touch()
        time.sleep(0.02)
    wheel = next(HERE.glob("*.whl"))
    shutil.copy(wheel, folder)
    return wheel.name
build_editable = build_wheel
"""
_PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def git(folder: Path, *arguments: str) -> str:
    run = subprocess.run([*_GIT, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def commit(folder: Path, files: Mapping[str, str]) -> str:
    """Writes files, commits everything, and returns the commit."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def lookalike(folder: Path, trainer: str) -> str:
    """A repository that passes for a trainer; returns its commit.

    Its list of packages is what the trainer can't do without; a part of it builds itself, as slowly as it is told to.
    """
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    core = "".join(f"{name}\n" for name in UPSTREAMS[trainer].core if not name.startswith("torch"))
    files = {"requirements.txt": f"{core}./part\n", "part/backend.py": _BACKEND, "part/pyproject.toml": _PROJECT}
    for mark in UPSTREAMS[trainer].marks:
        files[f"{mark}__init__.py" if mark.endswith("/") else mark] = f"# {mark}\n"
    (folder / "part").mkdir()
    wheel(folder / "part", "part", "1.0", {"part.py": "x = 1\n"})
    return commit(folder, files)


def wheel(folder: Path, name: str, version: str, files: Mapping[str, str]) -> Path:
    """Builds a wheel of pure Python."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    entries = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_hash(text)},{len(text.encode())}\n" for path, text in entries.items())
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for entry, text in {**entries, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            archive.writestr(entry, text)
    return path


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def package_index(folder: Path) -> str:
    """An index (PEP 503) with a tiny torch and all that the look-alikes list; returns its address."""
    names = {name for upstream in UPSTREAMS.values() for name in (*upstream.core, *upstream.extra)}
    for name in names:
        place = folder / name
        place.mkdir(parents=True)
        module = name.replace("-", "_")
        files = {f"{module}/__init__.py": ""}
        if name == "torch":
            files["torch/version.py"] = "__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\n"
        made = wheel(place, name, "2.13.0" if name == "torch" else "1.0", files)
        (place / "index.html").write_text(f'<a href="{made.name}">{made.name}</a>')
    return folder.as_uri()


def offline(monkeypatch: pytest.MonkeyPatch, index: str) -> None:
    """pip knows of nothing but one index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index)
    monkeypatch.setenv("BRACKET_TORCH_INDEX", index)


def fake_venv(folder: Path, packages: Mapping[str, str]) -> Path:
    """A venv without pip (which takes a second to make) in which these distributions count as installed."""
    import sys
    import venv

    venv.create(folder, with_pip=False)
    site = next(folder.glob("lib/python*/site-packages"), folder / "Lib" / "site-packages")
    for name, version in packages.items():
        (site / f"{name.replace('-', '_')}-{version}.dist-info").mkdir()
    if "torch" in packages:
        (site / "torch").mkdir()
        (site / "torch" / "version.py").write_text(f"__version__ = '{packages['torch']}'\ncuda = '13.0'\n")
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
