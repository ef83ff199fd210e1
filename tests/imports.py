"""Who imports whom in bracket, read from its source: for the rules of the house and for the map of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    5: ("app", "cli", "ui", "__main__"),
    4: ("session",),
    3: ("search", "trainers", "judges", "report"),
    2: ("runner", "dataset", "stats"),
    1: (
        *("domain", "presets", "errors", "environment", "files", "homes", "reading", "unforeseen", "weights"),
        *("demo", "bootstrap", "locks", "packages", "strict"),
    ),
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
APART = {
    "training": {"training", "dataset", *FLOORS[1]},
    "bootstrap": {"bootstrap", "locks", "packages"},
    "packages": {"packages"},
}
"""Programs of their own, and all that they may import."""


@cache
def sources() -> dict[Path, ast.Module]:
    paths = [*sorted((ROOT / "bracket").rglob("*.py")), *ROOT.glob("app.py")]
    return {p: ast.parse(p.read_text(encoding="utf-8"), str(p)) for p in paths}


def room_of(dotted: str) -> str:
    """bracket.session.store and bracket.session are both of the room `session`; app is of `app`."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def imported(path: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import of bracket's own, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports by dots; write the whole name"
            # `from bracket.session import store` may name a module or a thing in it
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] in ("bracket", "app") and name != "bracket":
                yield node.lineno, name


def all_imports() -> Iterator[tuple[str, str, str]]:
    """(importing module, imported name, place to look at)."""
    for path, tree in sources().items():
        for line, name in imported(path, tree):
            yield module_name(path), name, f"{path.relative_to(ROOT)}:{line} imports {name}"


@cache
def doors() -> dict[str, frozenset[str]]:
    """What each package's `__init__` hands on, by the package's dotted name."""
    found = {}
    for path, tree in sources().items():
        if path.name == "__init__.py" and path.parent != ROOT / "bracket":
            named = [ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign) and is_all(n)]
            found[module_name(path)] = frozenset(named[0] if named else public(tree))
    return found


def is_all(node: ast.Assign) -> bool:
    return any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)


def public(tree: ast.Module) -> set[str]:
    """What a module defines of its own, without a leading underscore."""
    names = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    names |= {ast.unparse(t) for n in tree.body if isinstance(n, ast.Assign) for t in n.targets}
    names |= {ast.unparse(n.target) for n in tree.body if isinstance(n, ast.AnnAssign)}
    return {name for name in names if name[0] != "_"}


@cache
def modules() -> frozenset[str]:
    return frozenset(map(module_name, sources()))


def resolved(name: str) -> str:
    """The module that an imported name is, or is a thing of."""
    while name not in modules():
        name = name.rpartition(".")[0]
    return name


def folder_of(module: str) -> str:
    """A module's folder; a file of the hall, and a room's door, are folders of their own."""
    alone = module.count(".") <= 1 or module in doors()
    return module if alone else f"{module.rpartition('.')[0]}/"
