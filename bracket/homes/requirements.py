"""What a checkout asks to have installed, by its own lists."""

from __future__ import annotations

import re
from pathlib import Path

from bracket.homes.look import canonical
from bracket.homes.registry import Home
from bracket.reading import Unreadable, from_toml, read_text

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_MARKED = re.compile(r";\s*.+")
_GIT = re.compile(r"/(?P<name>[\w.-]+?)(?:\.git)?(?:@[^@/]*)?$")


def requirements(home: Home) -> list[str]:
    """Canonical names of the distributions a checkout's lists name; those for some systems only are left out.

    Returns:
        [] when there is no list, or it can't be read.
    """
    folder = home.folder
    names = _in_file(folder / "requirements.txt") or _in_project(folder / "pyproject.toml")
    return list(dict.fromkeys(canonical(name) for name in names))


def _in_file(path: Path, depth: int = 0) -> list[str]:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    names: list[str] = []
    for raw in lines:
        line = re.sub(r"(^|\s)#.*", "", raw).strip()
        if line.startswith(("-r ", "--requirement ")) and depth < 4:
            names += _in_file(path.parent / line.split(maxsplit=1)[1], depth + 1)
        else:
            names += _name_in(line)
    return names


def _in_project(path: Path) -> list[str]:
    try:
        project = from_toml(read_text(path)).get("project", {})
    except (OSError, Unreadable):
        return []
    return [name for line in project.get("dependencies", []) for name in _name_in(str(line))]


def _name_in(line: str) -> list[str]:
    if not line or line.startswith("-") or _MARKED.search(line):
        return []
    if "://" in line and " @ " not in line:
        address = _GIT.search(line)
        return [address["name"]] if line.startswith("git+") and address else []
    match = _NAME.match(line)
    return [match.group()] if match else []
