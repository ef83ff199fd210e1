"""Creating, starting and stopping sessions: what both doors (the app and the command line) do."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from bracket.demo.dataset import write_demo_dataset
from bracket.environment import child_env, project_root, python_executable, runs_folder
from bracket.errors import SessionBusy, SettingsError
from bracket.presets import DEMO_PRESET, find_preset
from bracket.session import foreign
from bracket.session.changes import refuse_changes
from bracket.session.control import ask_to_stop, running_process
from bracket.session.job import slots_of
from bracket.session.memory import FILE as MEMORY_FILE
from bracket.session.settings import FILE, DatasetSettings, SessionSettings, from_preset, load, save
from bracket.session.view import PROCESS_LOG

DEMO_TRIGGER, DEMO_CLASS = "zorp", "star"

if sys.platform == "win32":
    _DETACHED = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
else:
    _DETACHED = 0


def create(settings: SessionSettings, folder: Path) -> Path:
    """Write a new session's settings; a folder that already holds the same session is left as it is.

    While no trial has begun there is nothing to lose, and other settings simply replace the old ones.

    Raises:
        SettingsChanged: the folder holds a session that was asked something else; shows the difference.
        StorageError: the folder can't be written.
    """
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
        subprocess.Popen(
            [python_executable(), "-m", "bracket", "run", str(folder), "--quiet"],
            cwd=project_root(),
            env=child_env(threads=1 if slots[0].kind == "cpu" else None),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            creationflags=_DETACHED,
            start_new_session=True,
        )


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


def demo_settings(seed: int = 0, runs: Path | None = None) -> SessionSettings:
    """The demo: the embedded base learns a new concept. Writes its drawn dataset under `runs` if it isn't there."""
    folder = write_demo_dataset((runs or runs_folder()) / "demo-dataset")
    dataset = DatasetSettings(folder=str(folder), trigger_word=DEMO_TRIGGER, class_word=DEMO_CLASS)
    return from_preset(find_preset(DEMO_PRESET), dataset, seed=seed)


def named(name: str, runs: Path | None = None) -> Path:
    """A session's folder from what a person typed: a path, or a name under the runs folder.

    Raises:
        SettingsError: the name is empty or climbs out of the runs folder.
    """
    if not name.strip():
        raise SettingsError("a session needs a name", remedy="Type one.")
    given = Path(name).expanduser()
    if given.is_absolute() or given.exists() or len(given.parts) > 1:
        return given.absolute()
    return (runs or runs_folder()) / name
