"""Makes `.venv` and starts what was asked: what start_gui.sh and start_gui.bat run, with whatever Python they found.

Standard library only, and of the rest of bracket only `locks` and `packages`, which are too: nothing is installed yet
when this runs. A second start finds the stamp of the first one, installs nothing and needs no network. Which torch fits
a machine is asked here by the installer of trainers too.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # alone, with nothing on the path
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bracket.locks import Held, holder, take
from bracket.packages import CUDA_LOCK, LOCK, Installer, SetupError, digest, lock_of, say

ROOT = Path(__file__).resolve().parent.parent
TORCH = "2.13.0"
TORCH_INDEXES = "https://download.pytorch.org/whl"
OLDEST_DRIVER = 580
"""The first NVIDIA driver that runs CUDA 13, which the newest torch is built with."""
OLDEST_GPU = 7.5
"""The first compute capability (Turing) that CUDA 13 still builds for."""
PROBE_SECONDS = 5.0

USAGE = """\
start_gui             opens the app in your browser
start_gui demo        finds the best settings of a small demo fine-tune and shows the report
start_gui test        runs the linters and the tests; with --quick, those nearest to what changed since the last commit
start_gui VERB ...    any other verb of the command line: run, resume, stop, status, report, ...

The first start makes a .venv beside this script and installs the versions that were tested (.constraints); later ones
take seconds and need no network. In front of any of the above:

--latest              installs the newest versions that requirements.txt allows; they stay until
--locked              goes back to the tested ones
--update              looks for newer ones, writes them to .constraints, installs them and says what changed
--lowest              the lowest versions that requirements.txt allows, to test that they do

BRACKET_PYTHON names the Python to make .venv with, BRACKET_TORCH_INDEX the package index to take torch from. uv
installs where it is there or can be fetched, with pip's settings; with BRACKET_INSTALLER=pip, pip does.
"""
OPTIONS = ("--latest", "--locked", "--lowest", "--update")


def main(argv: Sequence[str]) -> int:
    """Sets up and runs; returns the exit code where the command could not simply replace this process."""
    if argv[:1] in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    asked, argv = option(argv)
    testing = argv[:1] == ["test"]
    kind = torch_kind()
    try:
        lists = ["requirements.txt", *(["tests/requirements.txt"] if testing else [])]
        python = set_up(ROOT, kind, lists, os.environ.get("BRACKET_TORCH_INDEX", ""), asked)
    except SetupError as error:
        print(f"bracket: {error}", file=sys.stderr)
        return 1
    if asked == "update" and not argv:
        return 0
    if kind == "cpu" and argv[:1] in (["test"], ["demo"]):
        # Several small processes share the cores: one thread each, and none that spins while it waits.
        os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ.pop("PYTHONHOME", None)
    return check(python, argv[1:], asked != "lowest") if testing else replace_process([str(python), *arguments(argv)])


def option(argv: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Which versions are asked for, if any, and the rest."""
    return (argv[0].removeprefix("--"), argv[1:]) if argv and argv[0] in OPTIONS else ("", argv)


def arguments(argv: Sequence[str]) -> list[str]:
    """What follows the interpreter: the app when there is no verb, else the command line.

    -P keeps the caller's folder out of the import path, where a `bracket` of another kind might lie.
    """
    if not argv or argv[0].startswith("-"):
        return ["-P", str(ROOT / "app.py"), *argv]
    return ["-P", "-m", "bracket", *argv]


def torch_kind() -> str:
    """Which build of torch fits this machine: `mac`, `cpu`, `cu130`, or `cu126` for older NVIDIA drivers and GPUs."""
    if sys.platform == "darwin":
        return "mac"
    query = ["nvidia-smi", "--query-gpu=driver_version,compute_cap", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        rows = [line.split(",") for line in answer.strip().splitlines()]
        modern = [int(row[0].split(".")[0]) >= OLDEST_DRIVER and float(row[1]) >= OLDEST_GPU for row in rows]
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return "cpu"
    if not modern:
        return "cpu"
    return "cu130" if all(modern) else "cu126"


def set_up(root: Path, kind: str, lists: Sequence[str], index: str = "", asked: str = "") -> Path:
    """Makes sure `root/.venv` holds torch and the packages that the files `lists` (relative to `root`) name.

    Args:
        kind: one of `torch_kind`.
        index: where to take torch from, instead of what fits `kind`.
        asked: for other versions than those there: `latest`, `locked`, `lowest` or `update`.

    Returns:
        The interpreter in `.venv`.

    Raises:
        SetupError: no network, no venv module, a full disk, another set-up at work, ...
    """
    venv, marker = root / ".venv", root / ".venv.installing"
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = installed(venv)
    if asked == "update":
        lists = list(dict.fromkeys([*lists, *(name for name in done if name.endswith(".txt"))]))
    wish = Wish(root, kind, lists, index, asked)
    there = wish.stamps(done).items() <= done.items() and asked in ("", "locked")
    if there and not marker.exists() and _runs(python, "torch"):
        if wish.versions(done) in ("latest", "lowest"):
            print("bracket: other versions than the tested ones are installed; --locked goes back.", file=sys.stderr)
        return python
    held = _claim(marker, venv)
    try:
        _install(wish, venv, python)
    except SetupError:
        held.release()
        raise
    # Where a kill or Ctrl-C comes between, the marker stays, and what may be half-made is made again.
    held.release()
    say("Everything is installed.")
    return python


@dataclass(frozen=True)
class Wish:
    """What is to be installed; the fields are the arguments of `set_up`."""

    root: Path
    kind: str
    lists: Sequence[str]
    index: str = ""
    asked: str = ""

    def versions(self, done: Mapping[str, str]) -> str:
        """`locked`, or `latest` or `lowest` once asked for, or `bounds` where no lock fits."""
        was = done.get("requirements.txt", "").split(" ")[-1]
        chosen = self.asked or (was if was in ("latest", "lowest") else "locked")
        if chosen in ("locked", "update"):
            return "locked" if lock_of(self.root, self.kind) else "bounds"
        return chosen

    def stamps(self, done: Mapping[str, str]) -> dict[str, str]:
        """What `installed` tells once all is there as wished."""
        versions = self.versions(done)
        torch, kind = versions if versions in ("latest", "lowest") else TORCH, self.kind
        was = done.get("torch", "").split(" ")
        if kind == "cpu" and was[0] == torch and "".join(was[1:2]).startswith("cu"):
            kind = was[1]  # the driver is away for now; a GPU build runs on the CPU too
        by = digest(*lock_of(self.root, kind)) if versions == "locked" else versions
        named = {name: f"{digest(self.root / name)} {by}" for name in self.lists}
        return {**named, "torch": f"{torch} {kind} {self.index}".strip()}


def _install(wish: Wish, venv: Path, python: Path) -> None:
    if not _runs(python, "pip"):
        say(f"Making {venv.name} with Python {sys.version.split()[0]} (once).")
        make_venv(venv)
    installer = Installer(wish.root, python)
    if wish.asked == "update":
        _update(installer)
    done = installed(venv)
    wanted, versions = wish.stamps(done), wish.versions(done)
    newly = wish.asked in ("latest", "lowest")
    if versions == "bounds":
        say(f"{LOCK.parent} is not for this Python, or not there: what requirements.txt allows is installed.")
    build = wanted["torch"].split(" ")[1:]
    # torch first: otherwise the packages that need one would pull the build that fits nobody in particular.
    if newly or done.get("torch") != wanted["torch"]:
        was = done.pop("torch", "").split(" ")[1:]
        _stamp(venv, done)
        if was and was != build:  # another build of the same version would be taken for the same thing
            installer.pip(["uninstall", "--yes", "torch"])
        install_torch(installer, wish, versions, build[0])
        done["torch"] = wanted["torch"]
        _stamp(venv, done)
    if missing := [name for name in wish.lists if newly or done.get(name) != wanted[name]]:
        for name in missing:
            done.pop(name, None)
        _stamp(venv, done)
        say(f"Installing what {' and '.join(missing)} list{'s' * (len(missing) == 1)}. This may take a few minutes.")
        _install_lists(installer, wish, versions, missing)
        _stamp(venv, done | {name: wanted[name] for name in missing})


def _update(installer: Installer) -> None:
    say("Looking for newer versions that requirements.txt allows.")
    changed = installer.renew(TORCH)
    back = f"; `git checkout {LOCK.parent}` and a start take that back" if changed else ""
    say("".join(f"  {line}\n" for line in changed) + f"{len(changed)} versions in {LOCK.parent} changed{back}.")


def _install_lists(installer: Installer, wish: Wish, versions: str, names: Sequence[str]) -> None:
    there = installer.present()
    # No package may bring another build of torch in place of the one that fits.
    torch = [f"torch=={there['torch']}"] if "torch" in there else []
    what = [*(word for name in names for word in ("-r", str(wish.root / name))), *torch]
    if versions == "locked":
        what += ["-c", str(wish.root / LOCK)]  # what torch brought for CUDA stays as it is
        if installer.cached(what):
            return
    renewed = [name for name in there if name != "torch"] if versions in ("latest", "lowest") else []
    installer.install(what, renewed=renewed, lowest=versions == "lowest")


def _stamp(venv: Path, done: Mapping[str, str]) -> None:
    (venv / "installed.json").write_text(json.dumps(done))


def installed(venv: Path) -> dict[str, str]:
    """What earlier set-ups finished: the digest of each list of packages, and the build of torch."""
    try:
        value = json.loads((venv / "installed.json").read_text())
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def _claim(marker: Path, venv: Path) -> Held:
    """Marks that this process installs, by a lock; wipes what a killed one left half-made.

    Raises:
        SetupError: another set-up is at work, or the folder can't be written.
    """
    try:
        held = take(marker)
        if held is None:
            process = (holder(marker) or {}).get("pid", "unknown")
            raise SetupError(f"another set-up is at work here (process {process}). Wait for it, or end it")
        if held.left:
            say("The last set-up was interrupted; starting over.")
            shutil.rmtree(venv, ignore_errors=True)
    except OSError as error:
        raise SetupError(f"{venv.parent} can't be written ({error.strerror}). Free space or own the folder") from error
    return held


def _runs(python: Path, module: str) -> bool:
    """Whether the interpreter starts and finds `module`: a venv dies with the Python it was made from."""
    if not python.exists():
        return False
    find = f"import importlib.util as u; raise SystemExit(u.find_spec({module!r}) is None)"
    return subprocess.run([str(python), "-c", find], capture_output=True, check=False).returncode == 0


def make_venv(venv: Path) -> None:
    """Raises SetupError where this Python can't make one (Debian ships that module apart)."""
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetupError(
            f"Python {version} could not make {venv}: {(made.stdout + made.stderr).strip()[-600:]}\n"
            f"On Debian or Ubuntu, `sudo apt install python{version}-venv` mends this."
        )


def install_torch(installer: Installer, wish: Wish, versions: str, kind: str) -> None:
    """The build that fits, from torch's own index; plainly from pip's where that index can't be reached."""
    spec = f"torch=={TORCH}"
    if versions in ("latest", "lowest"):
        text = (wish.root / "requirements.txt").read_text(encoding="utf-8")
        spec = next(line for line in text.splitlines() if line.startswith("torch"))
    name = {"cpu": "CPU", "mac": "Mac"}.get(kind, f"NVIDIA GPU, CUDA {kind[2:4]}.{kind[4:]}")
    say(f"Installing {spec.replace('==', ' ')} ({name}).")
    exact = "==" in spec
    beside = ["-c", str(wish.root / CUDA_LOCK)] if versions == "locked" and kind == "cu130" else []
    if exact and installer.cached([spec, *beside], wish.index or ("" if kind == "mac" else f"{TORCH_INDEXES}/{kind}")):
        return
    index = wish.index or torch_index(kind)
    if not index and kind != "mac":
        say(f"{TORCH_INDEXES}/{kind} can't be reached; taking torch from pip's own index.")
    if not (exact and not index and installer.cached([spec, *beside])):
        try:
            installer.install([spec, *beside], index, renewed=[] if exact else ["torch"], lowest=versions == "lowest")
        except SetupError:
            if not beside:
                raise
            say(f"{CUDA_LOCK} may not fit this build of torch; it is tried without.")
            installer.install([spec], index)
    if kind.startswith("cu"):
        probe = "import torch; raise SystemExit(not torch.cuda.is_available())"
        if subprocess.run([str(installer.python), "-c", probe], check=False).returncode:
            say(
                "torch is installed but can't use the GPU, so training would run on the CPU. Update the NVIDIA driver, "
                "or set BRACKET_TORCH_INDEX to an index that fits it and remove .venv."
            )


def torch_index(kind: str) -> str:
    """Where the build for `kind` comes from; "" for pip's own index, on a Mac and where torch's is out of reach."""
    index = "" if kind == "mac" else f"{TORCH_INDEXES}/{kind}"
    return index if index and reachable(f"{index}/torch/") else ""


def reachable(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether a server answers within `seconds`, name lookup included (which no socket timeout covers)."""
    answered: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(url, timeout=seconds) as reply:
                answered.append(reply.status == 200)
        except (OSError, ValueError):
            answered.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered == [True]


def check(python: Path, extra: Sequence[str], linters: bool = True) -> int:
    """Linters, types, tests: all three run, and the exit code is 1 if any of them found something.

    Args:
        linters: old ones, and old packages' types, tell nothing of this code.
    """
    workers = ["-n", "2", "--dist", "loadfile"]
    failed = []
    for name, arguments in {
        **({"ruff": ["ruff", "check", "."], "mypy": ["mypy"]} if linters else {}),
        "pytest": ["pytest", *workers, *extra],
    }.items():
        say(f"== {name}")
        if subprocess.run([str(python), "-m", *arguments], cwd=ROOT, check=False).returncode:
            failed.append(name)
    say(f"Failed: {', '.join(failed)}." if failed else "Linters and tests passed.")
    return 1 if failed else 0


def replace_process(command: Sequence[str]) -> int:
    """Becomes `command`, so that signals reach it; Windows can't, and waits for it instead."""
    if os.name == "nt":
        child = subprocess.Popen(command)
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the child was told too, and ends in its own time: a run saves a checkpoint first
    sys.stdout.flush()
    os.execv(command[0], list(command))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
