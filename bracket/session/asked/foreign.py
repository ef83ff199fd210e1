"""A session that somebody else wrote: what its settings would have done here is said before it runs.

What this machine's user asked for once is remembered by its words, and so is a session that was copied back.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePath

from bracket.environment import config_folder
from bracket.errors import SettingsError, StorageError
from bracket.files import read_json, write_json
from bracket.judges.server.addresses import belongs, is_local
from bracket.session.asked.settings import SessionSettings

_MOST = 2000
_PICKLES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}


def concerns(settings: SessionSettings) -> list[str]:
    """What the settings would run, send or unpack beyond what a preset does, each in words that name it."""
    found = [f"adds {word!r} to every training command" for word in settings.extra_args]
    found += [f"sets the trainer's {name} to {value!r}" for name, value in settings.fixed.items()]
    found += [
        f"loads {path}, which may hold a program"
        for path in settings.weights.values()
        if PurePath(path).suffix.lower() in _PICKLES
    ]
    for judge in settings.judges:
        if judge.kind != "openai_api" or not judge.url or is_local(judge.url):
            continue
        found.append(f"sends pictures and prompts to {judge.url}")
        if os.environ.get(judge.key_variable) and not belongs(judge.url, judge.key_variable):
            found.append(f"sends the key in {judge.key_variable} to {judge.url}")
    return found


def remember(settings: SessionSettings) -> None:
    """The user of this machine asked for these settings."""
    fresh = [_digest(c) for c in concerns(settings)]
    if fresh:
        known = [digest for digest in _known() if digest not in fresh]
        write_json(_file(), [*known, *fresh][-_MOST:])


def heed(settings: SessionSettings, folder: Path) -> None:
    """Hold a session to what was asked for on this machine.

    Raises:
        SettingsError: it was made elsewhere and does more than train a preset; says what.
    """
    asked = concerns(settings)
    strange = [c for c in asked if _digest(c) not in _known()] if asked else []
    if strange:
        rest = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        raise SettingsError(
            f"this session was not made on this machine, and it {'; it '.join(strange[:5])}{rest}",
            path=folder,
            remedy=f"Where you want that: python -m bracket run {folder.name} --trust.",
        )


def _file() -> Path:
    return config_folder() / "asked.json"


def _known() -> list[str]:
    try:
        found = read_json(_file())
    except StorageError:  # not there yet, or damaged: then everything is asked again
        return []
    return [str(digest) for digest in found] if isinstance(found, list) else []


def _digest(words: str) -> str:
    return hashlib.sha256(words.encode("utf-8", "surrogatepass")).hexdigest()
