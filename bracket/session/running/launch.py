"""Creating, starting and stopping sessions: what both doors (the app and the command line) do."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

from bracket.demo.dataset import write_demo_dataset
from bracket.environment import child_env, project_root, python_executable, runs_folder
from bracket.errors import SessionBusy, SettingsError, printable
from bracket.files import given_path, is_foreign
from bracket.presets import DEMO_PRESET, find_preset
from bracket.session.asked import foreign
from bracket.session.asked.changes import refuse_changes
from bracket.session.asked.settings import FILE, DatasetSettings, SessionSettings, from_preset, load, save
from bracket.session.control import ask_to_stop, note_start, running_process
from bracket.session.duel.again import standing
from bracket.session.job import resolve, slots_of
from bracket.session.planning.memory import FILE as MEMORY_FILE
from bracket.session.planning.promise import fewest_pairs
from bracket.session.view import PROCESS_LOG

DEMO_TRIGGER, DEMO_CLASS = "zorp", "star"
LONGEST_NAME = 180
"""Bytes of a session's name; file systems end at 255, and grids and copies add words of their own."""
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])(\..*)?", re.IGNORECASE)
"""What Windows keeps for devices, whatever the ending."""
_NO_NAME = re.compile(r"[\x00-\x1f\x7f]|\\" + (r'|[<>:"|?*]' if os.name == "nt" else ""))

if sys.platform == "win32":
    _DETACHED = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
else:
    _DETACHED = 0


def create(settings: SessionSettings, folder: Path) -> Path:
    """Write a new session's settings; a folder that already holds the same session is left as it is.

    While no trial has begun there is nothing to lose, and other settings simply replace the old ones.

    Raises:
        SettingsChanged: the folder holds a session that was asked something else; shows the difference.
        SettingsError: the folder holds something that is no session of ours.
        StorageError: the folder can't be written.
    """
    refuse_others(folder)
    if (folder / "trials").is_dir() or running_process(folder) is not None:
        refuse_changes(load(folder), settings, folder / FILE)
        return folder
    for made_for_others in ("dataset.json", MEMORY_FILE):
        (folder / made_for_others).unlink(missing_ok=True)
    save(settings, folder)
    foreign.remember(settings)
    return folder


def start(folder: Path) -> None:
    """Run the session in a process of its own that outlives the app.

    Raises:
        SessionBusy: it already runs.
        SettingsError: there is no session, its settings are damaged, or somebody else's (see `foreign`).
    """
    settings = load(folder)
    foreign.heed(settings, folder)
    slots = slots_of(settings)
    other = running_process(folder)
    if other is not None:
        raise SessionBusy(f"this session is already running (process {other})", path=folder)
    with (folder / PROCESS_LOG).open("ab") as output:
        before = output.tell()
        process = subprocess.Popen(
            [python_executable(), "-m", "bracket", "run", str(folder), "--quiet"],
            cwd=project_root(),
            env=child_env(threads=1 if slots[0].kind == "cpu" else None),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            creationflags=_DETACHED,
            start_new_session=True,
        )
    note_start(folder, process.pid, before)


def stop(folder: Path, wait: float = 0.0) -> bool:
    """Ask the session to stop; it lets the trainers save first. Returns whether it has ended within `wait` seconds."""
    if running_process(folder) is None:
        return True
    ask_to_stop(folder)
    until = time.monotonic() + wait
    while time.monotonic() < until:
        if running_process(folder) is None:
            return True
        time.sleep(0.2)
    return running_process(folder) is None


def demo_settings(seed: int = 0, runs: Path | None = None, session: Path | None = None) -> SessionSettings:
    """The demo: the embedded base learns a new concept. Writes its drawn dataset under `runs` if it isn't there.

    Args:
        session: its folder, that is or will be. A demo that was run beside it was a try of the same question, so a new
            one has as many pairs as a claim then takes.
    """
    folder = write_demo_dataset((runs or runs_folder()) / "demo-dataset")
    dataset = DatasetSettings(folder=str(folder), trigger_word=DEMO_TRIGGER, class_word=DEMO_CLASS)
    settings = from_preset(find_preset(DEMO_PRESET), dataset, seed=seed)
    if session is None:
        return settings
    if (session / FILE).exists():
        pairs = load(session).confirmation.pairs
    else:
        question = resolve(settings, session)
        pairs = max(settings.confirmation.pairs, fewest_pairs(question.at_alpha(standing(question).alpha)))
    return settings.model_copy(update={"confirmation": settings.confirmation.model_copy(update={"pairs": pairs})})


def named(name: str, runs: Path | None = None) -> Path:
    """A session's folder from what a person typed: a word is a name under the runs folder, always; what is absolute or
    has a separator in it is a path.

    Raises:
        SettingsError: no session can be called that.
        StorageError: the path can't be one.
    """
    separators = [s for s in (os.sep, os.altsep) if s]
    if any(s in name for s in separators) or Path(name).drive:
        return given_path(name).absolute()
    return (runs or runs_folder()) / checked_name(name)


def checked_name(name: str) -> str:
    """The name, if it can be that of a session's folder on every system.

    Raises:
        SettingsError: it can't.
    """
    if not name.strip():
        raise SettingsError("a session needs a name", remedy="Type one.")
    wrong = ""
    if name.startswith((".", "~")):
        wrong = f"begins with {name[0]!r}"
    elif name.strip() != name or name.endswith("."):
        wrong = "has a blank or a full stop at its end" if name[0] != " " else "begins with a blank"
    elif found := _NO_NAME.search(name):
        wrong = f"holds {found[0]!r}"
    elif printable(name) != name:
        wrong = "is not Unicode"
    elif _RESERVED.fullmatch(name):
        wrong = "is a word that Windows keeps for devices"
    elif len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        wrong = f"is longer than {LONGEST_NAME} bytes"
    if wrong:
        shown = name if len(name) <= 60 else f"{name[:60]}…"
        raise SettingsError(
            f"{shown!r} can't be a session's name: it {wrong}",
            remedy="Choose a word, which names a folder under runs, or write a path, such as ./pets.",
        )
    return name


def refuse_others(folder: Path) -> None:
    """Raises SettingsError where a session would be put among files that bracket did not make."""
    if is_foreign(folder, FILE):
        what = "this folder holds files, but no session" if folder.is_dir() else "this is no folder"
        remedy = "Choose another name or an empty folder; nothing was changed."
        raise SettingsError(what, path=folder, remedy=remedy)
    if (folder / FILE).is_file():
        load(folder, to_read=True)  # a file of this name that is not ours says so
