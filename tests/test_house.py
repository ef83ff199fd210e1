"""The rules of the house that a linter doesn't know: which room may import which, and how long things may be."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter

import pytest

from bracket.environment import child_env
from tests.imports import (
    APART,
    FLOOR,
    ROOT,
    all_imports,
    doors,
    folder_of,
    module_name,
    public,
    resolved,
    room_of,
    sources,
)

SCHEMA = ("bracket.training.config.reading", "bracket.training.config.schema")
"""What a training config may hold: data, which the built-in trainer's adapter holds settings against."""
MODULE_LINES, FUNCTION_LINES, MODULES = 400, 80, 12
HEAVY = ("torch", "transformers", "diffusers", "peft", "accelerate")


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


def test_no_folder_is_crowded() -> None:
    """Whoever comes in finds a dozen doors at most; `__init__` is the frame, not a door."""
    rooms = Counter(path.parent for path in sources() if path.name != "__init__.py")
    assert {str(room.relative_to(ROOT)): count for room, count in rooms.items() if count > MODULES} == {}


def test_folders_make_no_circle() -> None:
    """The hall (`bracket/`) is its files, one by one; what a room hands on at its door (`__init__`) lies above it."""
    below: dict[str, set[str]] = {}
    for importer, name, _ in all_imports():
        mine, theirs = folder_of(importer), folder_of(resolved(name))
        if mine != theirs:
            below.setdefault(mine, set()).add(theirs)
    try:
        TopologicalSorter(below).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_wing_is_entered_by_its_door() -> None:
    """Modules of a wing that its `__init__` doesn't name are its own."""
    wrong = []
    for importer, name, place in all_imports():
        target = resolved(name)
        wing = target if target in doors() else target.rpartition(".")[0]
        if wing.count(".") < 2 or importer == wing or importer.startswith(f"{wing}."):
            continue
        if (thing := name.removeprefix(wing).lstrip(".").partition(".")[0]) and thing not in doors()[wing]:
            wrong.append(place)
    assert wrong == []


def test_doors_name_what_there_is() -> None:
    wrong = []
    for package, handed in doors().items():
        path = ROOT.joinpath(*package.split("."))
        tree = sources()[path / "__init__.py"]
        assert ast.get_docstring(tree), f"{package} doesn't say what lives there"
        bound = public(tree) | {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
        wrong += [f"{package}: {h}" for h in handed - bound if not (path / f"{h}.py").exists()]
    assert wrong == []


RAW = ("bracket.session.asked", "bracket.session.job", "bracket.ui.form")
DOORS = {
    "bracket.session.planning.plan": {"make"},
    "bracket.session.reading.bracket": {"lay_out", "_columns"},
    "bracket.session.running.launch": {"create"},
    "bracket.ui.page": {"_filled"},
    "bracket.ui.shared.narrow": {"held"},
}
"""Beside `RAW`, who takes what was asked as it was typed: where it comes in, and where a session is only drawn."""
MOST_RAW = 20


def test_a_question_is_resolved_once() -> None:
    """Plan, promise, checks and run take one `Context`; who takes raw settings could look things up on its own."""
    found = []
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                taken = [a.annotation for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if any(note is not None and "SessionSettings" in ast.unparse(note) for note in taken):
                    found.append((module_name(path), node.name))
    wrong = [f"{m}.{name}" for m, name in found if not m.startswith(RAW) and name not in DOORS.get(m, ())]
    assert wrong == []
    assert len(found) <= MOST_RAW


def test_only_the_embedded_base_looks_at_the_checker() -> None:
    wrong = [
        place
        for importer, name, place in all_imports()
        if name.startswith("bracket.demo.checker") and not importer.startswith(("bracket.training.embedded", name))
    ]
    assert wrong == []


def test_doors_open_without_torch() -> None:
    code = f"import app, bracket.cli.app, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
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
