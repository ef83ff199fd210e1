"""Which session trains on which device of this machine, known to every bracket of this user.

A session writes a claim and locks it (`bracket.locks`), so that its end frees the device however it comes. Two on one
GPU would run out of its memory or slow each other down, so the second waits; CPU cores are shared, and only told.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bracket import locks
from bracket.environment import user_cache
from bracket.runner.devices import Device, cores

log = logging.getLogger(__name__)

_WAIT = 1.0
"""Seconds between two looks whether the device is free."""


def on_same_gpu(slots: Sequence[Device], session: Path | None) -> dict[str, str]:
    """The name of another session on each GPU among `slots`, by the GPU's id."""
    taken = {device: name for name, devices in _claims(session).items() for device in devices}
    return {s.id: taken[_key(s)] for s in slots if s.kind != "cpu" and _key(s) in taken}


def beside_on_cpu(slots: Sequence[Device], session: Path | None) -> tuple[str, int]:
    """The names of the sessions that train on this CPU, in words, and how many trainings too many run with ours."""
    wanted = Counter(map(_key, slots))
    others = {name: n for name, devices in _claims(session).items() for key in wanted if (n := devices.get(key, 0))}
    if slots[0].kind != "cpu" or not others:
        return "", 0
    return ", ".join(sorted(others)), len(slots) + sum(others.values()) - max(cores(), len(slots))


@contextmanager
def claimed(slots: Sequence[Device], session: Path, *, share: bool, waiting: Callable[[str], None]) -> Iterator[None]:
    """Holds the devices of `slots` for a session while the body runs; waits for its turn on them.

    Args:
        share: go on beside another session.
        waiting: told "NAME on cuda:0" at every look; what it raises ends the waiting.
    """
    held = None
    try:
        while True:
            with locks.alone(_folder()):
                taken = {} if share else on_same_gpu(slots, session)
                if not taken:
                    says = {"session": str(session.absolute()), "devices": Counter(map(_key, slots))}
                    held = locks.take(_place(session), says)
                    break
            waiting(" and ".join(f"{name} on {device}" for device, name in taken.items()))
            time.sleep(_WAIT)
    except OSError as error:  # a machine whose folder for this can't be written still trains
        log.warning("other sessions can't be told which devices are in use: %s", error)
    try:
        yield
    finally:
        if held:
            held.release()


def _claims(without: Path | None) -> dict[str, Counter[str]]:
    """The devices of every session that runs, by the session's name; those of `without` left out."""
    found: dict[str, Counter[str]] = {}
    for place in _folder().glob("*.claim"):
        try:
            said = locks.holder(place)
            session, devices = Path(str((said or {})["session"])), Counter((said or {})["devices"])
        except (OSError, KeyError, TypeError, json.JSONDecodeError):
            continue
        if without is None or session != without.absolute():
            found[session.name] = found.get(session.name, Counter()) + devices
    return found


def _folder() -> Path:
    return user_cache() / "devices"


def _place(session: Path) -> Path:
    return _folder() / f"{hashlib.sha256(str(session.absolute()).encode()).hexdigest()[:16]}.claim"


def _key(device: Device) -> str:
    """What names a device among all machines that may share the user's folder."""
    return device.uuid or f"{platform.node()} {device.id}"
