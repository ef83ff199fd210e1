"""What a checkout and an interpreter are, without git and without importing anything of theirs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bracket.environment import for_trainers
from bracket.errors import TrainerError

_ASK = (
    "import json, sys; print(json.dumps([list(sys.version_info[:3]), [p for p in sys.path if p], "
    "sys.prefix != sys.base_prefix]))"
)
_SECONDS = 20.0
_DISTRIBUTION = re.compile(r"^(?P<name>[^-]+)-(?P<version>[^-]+?)(?:-py[\d.]+)?\.(?:dist|egg)-info$")
_TORCH_BUILD = re.compile(
    r"^(?P<key>__version__|cuda|hip)\b[^=\n]*=\s*(?:TorchVersion\()?'(?P<value>[^']+)'", re.MULTILINE
)


@dataclass(frozen=True)
class Interpreter:
    """A Python that runs.

    Attributes:
        version: three numbers.
        paths: the folders it imports from.
        venv: whether it belongs to a virtual environment.
    """

    version: tuple[int, int, int]
    paths: tuple[Path, ...]
    venv: bool


@dataclass(frozen=True)
class TorchBuild:
    """torch as installed: `accelerator` is "CUDA 13.0", "ROCm 6.4", or "CPU"."""

    version: str
    accelerator: str


def commit_of(folder: Path) -> str | None:
    """The commit a checkout stands at, read from its `.git`; None when that can't be told."""
    try:
        git = folder / ".git"
        if git.is_file():  # a worktree or a submodule: "gitdir: PATH"
            git = folder / git.read_text("utf-8").partition(":")[2].strip()
        head = (git / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref:"):
            return head or None
        name = head.partition(":")[2].strip()
        shared = git / "commondir"
        common = git / shared.read_text("utf-8").strip() if shared.is_file() else git
        for place in (git / name, common / name):
            if place.is_file():
                return place.read_text("utf-8").strip()
        rows = (row.split() for row in (common / "packed-refs").read_text("utf-8").splitlines())
        return next((row[0] for row in rows if row[1:] == [name]), None)
    except (OSError, UnicodeDecodeError):
        return None


def changes(folder: Path) -> list[str]:
    """Tracked files that differ from the commit a checkout stands at.

    Raises:
        TrainerError: git can't tell.
    """
    said = _git(folder, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames")
    return [entry[3:] for entry in said.split("\0") if entry]


def ahead_and_behind(folder: Path, commit: str) -> tuple[int, int]:
    """How many commits a checkout has that `commit` has not, and the other way round.

    Raises:
        TrainerError: git can't tell, mostly because it was never fetched.
    """
    ahead, behind = _git(folder, "rev-list", "--left-right", "--count", f"HEAD...{commit}").split()
    return int(ahead), int(behind)


def _git(folder: Path, *words: str) -> str:
    # What a checkout's own settings would start is left out, and no lock is taken from who works in it.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "-C", str(folder), *words]
    try:
        run = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TrainerError("git can't be started", path=folder) from error
    if run.returncode:
        reason = run.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise TrainerError(f"git can't read this checkout: {reason.removeprefix('fatal: ')}", path=folder)
    return run.stdout.decode("utf-8", "replace")


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def interpreter(python: Path) -> Interpreter | None:
    """Asks an interpreter for its version and path (some 30 ms, once); None when it can't be started.

    A venv's python stays behind as a dangling link when the Python it was made from is removed.
    """
    try:
        stat = python.stat()
    except OSError:
        return None
    return _asked(str(python), stat.st_mtime_ns, _stamp(python.parent.parent / "pyvenv.cfg"))


@lru_cache(maxsize=64)
def _asked(python: str, _changed: int, _venv_changed: int) -> Interpreter | None:
    # bracket's own PYTHONPATH and PYTHONHOME must not colour what another Python says of itself.
    env = {k: v for k, v in for_trainers(os.environ).items() if not k.startswith("PYTHON")}
    try:
        run = subprocess.run([python, "-c", _ASK], env=env, capture_output=True, timeout=_SECONDS, check=True)
        version, paths, venv = json.loads(run.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter((version[0], version[1], version[2]), tuple(Path(p) for p in paths), bool(venv))


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def canonical(distribution: str) -> str:
    """A distribution's name as PyPA's name normalisation writes it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def distributions(paths: Sequence[Path]) -> Mapping[str, str]:
    """Installed distributions, canonical name to version, by the names of their metadata folders."""
    found: dict[str, str] = {}
    for folder in paths:
        if folder.is_dir():
            matches = (_DISTRIBUTION.match(entry.name) for entry in os.scandir(folder))
            for match in filter(None, matches):
                found.setdefault(canonical(match["name"]), match["version"])
    return found


def torch_build(paths: Sequence[Path]) -> TorchBuild | None:
    """torch's version and what it was built for, from the file it keeps them in; None when torch is not there."""
    for folder in paths:
        file = folder / "torch" / "version.py"
        if file.is_file():
            facts = {m["key"]: m["value"] for m in _TORCH_BUILD.finditer(file.read_text("utf-8", "replace"))}
            built = [f"{name} {facts[key]}" for key, name in (("cuda", "CUDA"), ("hip", "ROCm")) if key in facts]
            return TorchBuild(facts.get("__version__", "?"), built[0] if built else "CPU")
    return None
