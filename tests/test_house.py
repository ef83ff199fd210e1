"""The rules of the house that a linter doesn't know: which room may import which, and how long things may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from bracket.environment import child_env

ROOT = Path(__file__).resolve().parent.parent

FLOORS = {
    5: (
        *("app", "cli", "cli_bar", "cli_grid", "cli_judge", "cli_prove", "cli_run", "cli_text", "cli_trainers"),
        *("doctor", "ui", "__main__"),
    ),
    4: ("session",),
    3: ("search", "trainers", "judges", "report"),
    2: ("runner", "dataset", "stats"),
    1: (
        *("domain", "presets", "errors", "environment", "files", "homes", "reading", "unforeseen", "weights"),
        *("demo", "bootstrap", "locks", "matching", "packages", "strict"),
    ),
}
FLOOR = {room: floor for floor, rooms in FLOORS.items() for room in rooms}
APART = {
    "training": {"training", "dataset", *FLOORS[1]},
    "bootstrap": {"bootstrap", "locks", "packages"},
    "packages": {"packages"},
}
"""Programs of their own, and all that they may import."""

SCHEMA = ("bracket.training.config", "bracket.training.schema")
"""What a training config may hold: data, which the built-in trainer's adapter holds settings against."""
MODULE_LINES, FUNCTION_LINES = 400, 80
HEAVY = ("torch", "transformers", "diffusers", "peft", "accelerate")


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
            # `from bracket.session import store` may name a module or a thing in it: both are given
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
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


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_name(p)) for p in sources()} - {"__init__"}
    assert rooms <= FLOOR.keys() | APART.keys()


def test_imports_point_down() -> None:
    wrong = []
    for importer, name, place in all_imports():
        mine, theirs = room_of(importer), room_of(name)
        if mine in APART:
            allowed = theirs in APART[mine]
        elif theirs in APART and theirs not in FLOOR:
            allowed = importer == "bracket.trainers.builtin" and name.startswith(SCHEMA)
        else:
            same_room = mine == theirs or FLOOR[mine] == FLOOR[theirs] in (1, 5)
            allowed = same_room or FLOOR[theirs] < FLOOR[mine]
        if not allowed:
            wrong.append(place)
    assert wrong == []


def test_only_the_embedded_base_looks_at_the_checker() -> None:
    wrong = [
        place
        for importer, name, place in all_imports()
        if name.startswith("bracket.demo.checker") and not importer.startswith(("bracket.training.embedded", name))
    ]
    assert wrong == []


def test_doors_open_without_torch() -> None:
    code = f"import app, bracket.cli, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=child_env(), capture_output=True, text=True)
    assert (run.stdout.strip(), run.returncode) == ("[]", 0), run.stderr


def test_modules_and_functions_are_short() -> None:
    long = []
    for path, tree in sources().items():
        lines = path.read_text(encoding="utf-8").count("\n")
        if lines > MODULE_LINES:
            long.append(f"{path.relative_to(ROOT)} has {lines} lines")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {lines} lines")
    assert long == []


def test_broad_excepts_say_why() -> None:
    """Ruff finds those that lack the noqa; it must be followed by a reason."""
    wrong = []
    for path, tree in sources().items():
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(tree):
            if not isinstance(node, ast.ExceptHandler) or not is_broad(node) or handled_in_the_open(node):
                continue
            if not re.search(r"# noqa: BLE001\W+\w", lines[node.lineno - 1]):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(t is None or (isinstance(t, ast.Name) and t.id in ("Exception", "BaseException")) for t in types)


def handled_in_the_open(handler: ast.ExceptHandler) -> bool:
    """The error is raised on or logged whole."""
    return any(
        isinstance(node, ast.Raise) or (isinstance(node, ast.Attribute) and node.attr == "exception")
        for statement in handler.body
        for node in ast.walk(statement)
    )


def test_no_paths_of_a_machine_and_no_registries() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    # Put together from parts, so that this file doesn't find itself.
    folders = "|".join(["root", "work", "farm", "opt/wheels", "opt/pypi"])
    machine = re.compile(rf"(?<![\w.$}})~-])/(?:{folders})/")
    registry = re.compile(r"https?://[^/\s\"']*(?:pypi|registry|mirror|artifactory|devpi)[^\s\"']*", re.IGNORECASE)
    wrong = []
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file() or path.stat().st_size > 1_000_000:
            continue
        data = path.read_bytes()
        if b"\0" in data:
            continue
        text = data.decode("utf-8", "replace")
        wrong += [f"{name}: {m.group()}" for p in (machine, registry) for m in p.finditer(text)]
    assert wrong == []


def test_nothing_that_others_wrote_is_unpickled_or_run() -> None:
    """Tensors are read as tensors, YAML as data, and no text becomes code or a shell's command."""
    wrong = []
    for path, tree in sources().items():
        for node in ast.walk(tree):
            place = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.name for a in node.names] + [getattr(node, "module", "") or ""]
                wrong += [f"{place} imports {n}" for n in names if n.split(".")[0] in PICKLERS]
            if isinstance(node, ast.Call) and (why := _runs_text(node)):
                wrong.append(f"{place} {why}")
    assert wrong == []


PICKLERS = ("pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve")


def _runs_text(call: ast.Call) -> str:
    name = ast.unparse(call.func)
    given = {k.arg: ast.unparse(k.value) for k in call.keywords}
    if name == "torch.load" and given.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    if name in ("yaml.load", "yaml.load_all") and given.get("Loader") in (None, "yaml.Loader", "yaml.UnsafeLoader"):
        return "yaml.load without a safe loader"
    if name in ("eval", "exec", "os.system", "os.popen", "yaml.unsafe_load"):
        return f"calls {name}"
    flags = [flag for flag in ("shell", "trust_remote_code", "allow_pickle") if given.get(flag) == "True"]
    return f"{name}({flags[0]}=True)" if flags else ""
