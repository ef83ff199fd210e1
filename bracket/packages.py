"""Which versions of which packages a `.venv` gets, and with what: the lock's, by uv where there is one, else by pip.

The lock is `.constraints/`: exact versions of everything that the lists of requirements bring. Standard library only,
as `bootstrap`, which it works for.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LOCK, CUDA_LOCK = Path(".constraints/all.txt"), Path(".constraints/cuda.txt")
PYTHONS = ((3, 11), (3, 14))
"""The first and the last Python that the lock was made for."""

_HEADERS = {
    LOCK: """\
# What the start scripts install: exact versions of all that requirements.txt and tests/requirements.txt bring, for
# Python 3.11 to 3.14 on Linux, Windows and Mac, with a CPU as with CUDA. Those differ only in the build of torch, which
# is installed first from an index of its own. `./start_gui.sh --update` writes this file.
""",
    CUDA_LOCK: """\
# What the build of torch for CUDA 13 brings beside; the one for CUDA 12.6 names its own exact versions.
# `./start_gui.sh --update` writes this file.
""",
}
_ONLY_CUDA = ("nvidia-", "cuda-", "triton")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)(?:\+\S+)?( ; [^\n#@/]+)?$", re.MULTILINE)
"""A line of a lock; what is none (an index's address, say) never gets into one."""

_SOURCES = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_EXTRA_INDEX_URL", "find-links": "UV_FIND_LINKS"}
_SETTINGS = _SOURCES | {
    "cert": "SSL_CERT_FILE",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "trusted-host": "UV_INSECURE_HOST",
}
"""What uv calls a setting of pip's. By the environment, so that no password stands in the list of processes."""
_OWN_SOURCES = ("UV_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX", "UV_INDEX_URL")
_NO_MATTER = (
    *("break-system-packages", "cache-dir", "compile", "config-file", "disable-pip-version-check", "log"),
    *("no-cache-dir", "no-color", "no-compile", "no-input", "no-python-version-warning", "no-warn-script-location"),
    *("prefer-binary", "progress-bar", "quiet", "require-virtualenv", "retries", "root-user-action", "verbose"),
)


class SetupError(Exception):
    """One sentence on why the set-up can't go on, with the remedy."""


def say(text: str) -> None:
    print(text, flush=True)


def digest(*paths: Path) -> str:
    """Of the files' text; line ends are none of it."""
    return hashlib.sha256(b"".join(p.read_bytes().replace(b"\r\n", b"\n") for p in paths)).hexdigest()


def lock_of(root: Path, kind: str) -> list[Path]:
    """The files of the lock for a build of torch; none where it is missing or doesn't know this Python."""
    files = [root / LOCK, *([root / CUDA_LOCK] if kind == "cu130" else [])]
    known = PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]
    return files if known and all(file.is_file() for file in files) else []


def locked(text: str) -> dict[str, str]:
    """Name → version of a lock's text; several versions where they differ between Pythons or systems."""
    found: dict[str, list[str]] = {}
    for name, version, _marker in _PIN.findall(text):
        found.setdefault(name, []).append(version)
    return {name: " or ".join(dict.fromkeys(versions)) for name, versions in found.items()}


def changes(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """A line each for what has another version, came or went."""
    names = sorted(n for n in old.keys() | new.keys() if old.get(n) != new.get(n))
    return [f"{name} {old.get(name, '(new)')} → {new.get(name, '(gone)')}" for name in names]


def pip_settings(python: Path) -> dict[str, str]:
    """What the user's pip is configured with, by files and by the environment; later ones win.

    Raises:
        OSError, ValueError, SyntaxError: there is no telling.
    """
    command = [str(python), "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False)
    if listing.returncode:
        raise ValueError("pip config list failed")
    found = {}
    for section in ("global", "install", ":env:"):
        for key, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", listing.stdout, re.MULTILINE):
            found[key] = str(ast.literal_eval(value))
    return found


def for_uv(settings: Mapping[str, str], environ: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The same for uv, which reads none of pip's: what to add to its environment and to its command.

    Raises:
        ValueError: with the name of a setting that uv might take otherwise.
    """
    added, words = dict[str, str](), list[str]()
    own = any(environ.get(name) for name in _OWN_SOURCES)
    for key, value in settings.items():
        if key == "constraint":
            words += [word for name in value.split() for word in ("-c", _whole(name))]
        elif key == "no-index":
            words += ["--no-index"] if value.lower() in ("1", "true", "yes", "on") and not own else []
        elif key in _SETTINGS:
            if not environ.get(_SETTINGS[key]) and not (own and key in _SOURCES):
                parts = [_whole(part) if key == "find-links" else part for part in value.split()]
                added[_SETTINGS[key]] = ("," if key == "find-links" else " ").join(parts)
        elif key not in _NO_MATTER:
            raise ValueError(key)
    if "UV_EXTRA_INDEX_URL" in added:  # pip takes the best of all indexes, and the user has set them up for that
        added["UV_INDEX_STRATEGY"] = environ.get("UV_INDEX_STRATEGY") or "unsafe-best-match"
    return added, words


def _whole(path: str) -> str:
    """uv runs in another folder than the caller's."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))


class Installer:
    """Installs into one venv: by uv, from the first failure on by pip."""

    def __init__(self, root: Path, python: Path) -> None:
        self._root, self.python = root, python
        self._uv: Path | None = None
        self._env, self._words = dict[str, str](), list[str]()
        if os.environ.get("BRACKET_INSTALLER", "").strip().lower() == "pip":
            return
        try:
            self._env, self._words = for_uv(pip_settings(python), os.environ)
        except (OSError, ValueError, SyntaxError) as why:
            say(f"pip installs, since uv might read pip's configuration otherwise ({why}).")
            return
        self._uv = self._find_uv()

    def _find_uv(self) -> Path | None:
        own, name = self._root / ".cache" / "uv", "uv.exe" if os.name == "nt" else "uv"
        fetched = [own / "bin" / name, own / "Scripts" / name]
        usual = shutil.which("uv")
        if found := _first_that_answers([*([Path(usual)] if usual else []), *fetched]):
            return found
        lock = self._root / LOCK
        pinned = ["-c", str(lock)] if lock.is_file() else []
        # Beside .venv, so that a .venv made anew finds it.
        fetch = ["--retries", "1", "install", "--quiet", "--upgrade", "--target", str(own), "uv", *pinned]
        subprocess.run([*_pip(self.python), *fetch], capture_output=True, check=False)
        if found := _first_that_answers(fetched):
            return found
        say("uv can't be had; pip installs, which takes longer.")
        return None

    def cached(self, what: Sequence[str], index: str = "") -> bool:
        """Installs without network where uv still has all of it from another time; says whether."""
        return self._uv is not None and self._run_uv(["--offline", *what], index, capture_output=True) == 0

    def install(self, what: Sequence[str], index: str = "", renewed: Sequence[str] = (), lowest: bool = False) -> None:
        """Args:
            what: requirements, `-r` and `-c` with their files.
            index: where from, instead of the usual one.
            renewed: packages that are to be the newest (or lowest) allowed, though there are others that would do.
            lowest: the lowest versions that the requirements allow.

        Raises:
            SetupError: it failed; the reason stands above.
        """
        if self._uv is not None:
            more = [word for name in renewed for word in ("--upgrade-package", name)]
            more += ["--resolution", "lowest-direct"] if lowest else []
            if self._run_uv([*what, *more], index) == 0:
                return
            if not lowest:
                say("uv failed (its reason is above); pip tries it now.")
                self._uv = None
        if lowest:
            raise SetupError("the lowest versions need uv, which failed or can't be had: see above")
        newest = ["--upgrade", "--upgrade-strategy", "eager"] if renewed else []
        self.pip(["install", *what, *newest, *(["--index-url", index] if index else [])])

    def pip(self, what: Sequence[str]) -> None:
        """Raises SetupError when pip fails; what pip said stands above it."""
        quiet = [] if sys.stdout.isatty() else ["--quiet"]
        if code := subprocess.run([*_pip(self.python), *quiet, *what], check=False).returncode:
            said = re.sub(r"//[^/@\s]+@", "//***@", " ".join(what))
            raise SetupError(
                f"`pip {said}` failed with code {code}; its reason is above. "
                "Check the network and the free disk space, then start again; what is there already is kept."
            )

    def _run_uv(self, what: Sequence[str], index: str, capture_output: bool = False) -> int:
        quiet = [] if sys.stdout.isatty() else ["--quiet"]
        command = [str(self._uv), "pip", "install", "--python", str(self.python), *quiet, *self._words, *what]
        env = {**os.environ, **self._env}
        if index:  # where there are others too, the build with a name (+cu130) is the higher version, as for pip
            env |= {"UV_DEFAULT_INDEX": index, "UV_INDEX_STRATEGY": "unsafe-best-match"}
        # In bracket's own folder: uv would obey a pyproject.toml in the caller's.
        return subprocess.run(command, cwd=self._root, env=env, capture_output=capture_output, check=False).returncode

    def present(self) -> dict[str, str]:
        """Name → version of what is installed."""
        code = "import importlib.metadata as m\nfor d in m.distributions(): print(d.name, d.version)"
        command = [str(self.python), "-I", "-c", code]
        listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        return dict(line.split() for line in listing.splitlines() if len(line.split()) == 2)

    def renew(self, torch: str) -> list[str]:
        """Writes the lock anew, with the newest that the requirements allow beside this torch; returns `changes`.

        Raises:
            SetupError: without uv, network or a folder that can be written; the lock is as it was.
        """
        if self._uv is None:
            raise SetupError(
                "only uv can renew the lock, for all Pythons and systems at once. `pip install uv` may help"
            )
        command = [str(self._uv), "pip", "compile", "requirements.txt", "tests/requirements.txt", "-", *self._words]
        command += ["--universal", "--python-version", ".".join(map(str, PYTHONS[0])), "--python", str(self.python)]
        # One version for all Pythons where there is one: what was tested on one is what the others get.
        command += ["--upgrade", "--fork-strategy", "fewest", "--no-annotate", "--no-header", "--quiet"]
        made = subprocess.run(
            command,
            cwd=self._root,
            env={**os.environ, **self._env},
            # Three = keep out builds such as 2.13.0+cpu, which don't name what CUDA needs.
            input=f"torch==={torch}\nuv\n",
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if made.returncode or not locked(made.stdout):
            raise SetupError("uv found no versions that go together; its reason is above. The lock is as it was")
        return write_lock(self._root, made.stdout)


def write_lock(root: Path, compiled: str) -> list[str]:
    """Puts what uv compiled into the files of the lock; returns `changes`.

    Raises:
        SetupError: they can't be written, and are as they were.
    """
    pins = sorted(f"{name}=={version}{marker}" for name, version, marker in _PIN.findall(compiled))
    text = {
        path: header + "".join(f"{pin}\n" for pin in pins if pin.startswith(_ONLY_CUDA) == (path == CUDA_LOCK))
        for path, header in _HEADERS.items()
    }
    old = "\n".join((root / path).read_text(encoding="utf-8") for path in text if (root / path).is_file())
    try:
        for path, content in text.items():
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).with_suffix(".part").write_text(content, encoding="utf-8", newline="\n")
        for path in text:
            (root / path).with_suffix(".part").replace(root / path)
    except OSError as error:
        where = root / LOCK.parent
        raise SetupError(
            f"{where} can't be written ({error.strerror}). Own the folder, or leave --update out"
        ) from error
    return changes(locked(old), locked("\n".join(text.values())))


def _pip(python: Path) -> list[str]:
    return [str(python), "-m", "pip", "--no-input", "--disable-pip-version-check"]


def _first_that_answers(programs: Sequence[Path]) -> Path | None:
    for program in programs:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            asked = subprocess.run([str(program), "--version"], capture_output=True, timeout=20, check=False)
            if asked.returncode == 0:
                return program
    return None
