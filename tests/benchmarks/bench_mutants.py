"""Do the tests see it where the code is wrong? `python -m tests.benchmarks.bench_mutants [FILE ...]`.

Each mutant is one small fault on purpose (a comparison swapped, an index off by one, + for -, `and` for `or`, a `not`
or a statement dropped, another constant) in a copy of the tree. The nearest tests run against it until one falls: the
module's own, then those of its room that import it. A mutant that all of them pass has survived, and is shown.

What is known is kept in `--log`, so that a run goes on where one was stopped; `--again` tries the survivors anew, as
after a test more. Tests of a mutant that take five times as long as without it count as fallen.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import copy
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.nearest import nearest

ROOT = Path(__file__).parents[2]
DECIDING = (
    *("bracket/stats/**/*.py", "bracket/search/**/*.py", "bracket/dataset/splitting.py"),
    *("bracket/report/sections/claimed.py", "bracket/report/sections/lost.py", "bracket/session/running/stages.py"),
    *(f"bracket/report/claims/{name}.py" for name in ("certificate", "added_check", "judged_check")),
    *("bracket/session/duel/course.py", "bracket/session/duel/plan.py", "bracket/session/duel/blind.py"),
)
HEAVY = ("numpy", "scipy.stats", "scipy.optimize", "hypothesis", "pydantic", "yaml", "optuna", "pytest")
"""Loaded once, and had by every child that is forked."""
PLUGINS = ("pytest_timeout", "_hypothesis_pytestplugin")
SWAPPED: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div,), ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,), ast.Pow: (ast.Mult,), ast.Mod: (ast.Mult,), ast.And: (ast.Or,), ast.Or: (ast.And,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "minimum": "maximum", "maximum": "minimum"}
NAMES |= {"floor": "ceil", "ceil": "floor", "argmin": "argmax", "argmax": "argmin"}
DROPPED = (ast.AugAssign, ast.Raise, ast.Continue, ast.Break)
PATIENCE, GRACE = 5, 10.0


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], ast.AST]]]:
    """What may be made of a node: a name for it, and what makes it of the node's copy."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in SWAPPED[type(node.ops[0])]:
            yield f"{type(node.ops[0]).__name__} to {other.__name__}", lambda n, o=other: _with(n, ops=[o()])
    elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in SWAPPED:
        for other in SWAPPED[type(node.op)]:
            yield f"{type(node.op).__name__} to {other.__name__}", lambda n, o=other: _with(n, op=o())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"{type(node.op).__name__} dropped", lambda n: n.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float):
        value = node.value
        other = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else value * 1.5 + 0.01
        yield f"{value} to {other}", lambda n: _with(n, value=other)
    elif isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield "condition turned", lambda n: _with(n, test=ast.UnaryOp(ast.Not(), n.test))
    elif isinstance(node, ast.Call) and (name := getattr(node.func, "id", getattr(node.func, "attr", ""))) in NAMES:
        field = "id" if isinstance(node.func, ast.Name) else "attr"
        yield f"{name} to {NAMES[name]}", lambda n: _with(n, func=_with(n.func, **{field: NAMES[name]}))
    calls = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if calls or isinstance(node, DROPPED):
        yield "dropped", lambda _: ast.Pass()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Every mutant of a module: what it is, and its whole text."""
    tree = ast.parse(source)
    aside = set()  # annotations and decorators decide nothing
    for node in ast.walk(tree):
        for name in ("annotation", "returns", "decorator_list"):
            held = getattr(node, name, None) or []
            aside |= {id(n) for held in (held if isinstance(held, list) else [held]) for n in ast.walk(held)}
    for number, node in enumerate(ast.walk(tree)):
        if id(node) in aside:
            continue
        for what, change in changes(node):
            mutated = copy.deepcopy(tree)
            old = next(n for i, n in enumerate(ast.walk(mutated)) if i == number)
            new = change(copy.copy(old))
            text = ast.unparse(ast.fix_missing_locations(_Replace(old, new).visit(mutated)))
            yield f"{node.lineno}:{node.col_offset} {what}", text


class _Replace(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.copy_location(self._new, node) if node is self._old else super().visit(node)


def run(tree: Path, tests: Sequence[str], limit: float, marks: str) -> tuple[str, float]:
    """Runs tests in a child that starts with everything heavy loaded: "passed", "fell", or "too long", and seconds."""
    began, child = time.monotonic(), os.fork()
    if not child:
        os.setpgid(0, 0)
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(quiet, stream)
        os.chdir(tree)
        sys.path[0] = str(tree)
        import pytest

        plugins = [f"-p{name}" for name in (*PLUGINS, "no:cacheprovider")]
        os._exit(int(pytest.main(["-xq", "-m", marks, *plugins, *tests])))
    while time.monotonic() - began < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return ("passed" if code in (0, 5) else "fell"), time.monotonic() - began
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "too long", limit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="by default all that decide")
    parser.add_argument("--sample", type=int, default=0, help="so many mutants of a module, by chance; 0 is all")
    parser.add_argument("--log", type=Path, default=Path(tempfile.gettempdir()) / "bracket-mutants.jsonl")
    parser.add_argument("--again", action="store_true", help="try the survivors once more")
    parser.add_argument("--tests", nargs="*", help="these instead of the nearest")
    parser.add_argument("--marks", default="not slow and not e2e and not gui")
    given = parser.parse_args()
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in (*HEAVY, *PLUGINS):
        importlib.import_module(name)
    known = {}
    if given.log.exists():
        known = {(e["path"], e["of"], e["what"]): e["end"] for e in map(json.loads, given.log.read_text().splitlines())}
    modules = given.modules or sorted(str(p.relative_to(ROOT)) for pattern in DECIDING for p in ROOT.glob(pattern))
    with tempfile.TemporaryDirectory(prefix="bracket-mutants-") as folder, given.log.open("a") as log:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", ".venv", ".cache", "runs", "__pycache__"))
        compileall.compile_dir(tree / "bracket", quiet=2)
        for path in modules:
            source, tests = (ROOT / path).read_text(), given.tests or nearest(path)
            of, made = hashlib.sha256(source.encode()).hexdigest()[:8], list(mutants(source))
            if given.sample and len(made) > given.sample:
                made = random.Random(path).sample(made, given.sample)
            left = [m for m in made if known.get((path, of, m[0])) in ((None, "passed") if given.again else (None,))]
            as_is, seconds = run(tree, tests, 600, given.marks) if left and tests else ("passed", 0.0)
            if as_is != "passed":
                raise SystemExit(f"{path}: its tests fall as it is: {' '.join(tests)}")
            sys.dont_write_bytecode = True
            for what, text in left:
                for old in (tree / path).parent.glob(f"__pycache__/{Path(path).stem}.*"):
                    old.unlink()
                (tree / path).write_text(text)
                end = run(tree, tests, PATIENCE * seconds + GRACE, given.marks)[0] if tests else "passed"
                known[path, of, what] = end
                print(json.dumps({"path": path, "of": of, "what": what, "end": end}), file=log, flush=True)
            sys.dont_write_bytecode = False
            (tree / path).write_text(source)
            ends = [known[path, of, what] for what, _ in made]
            print(f"{path}: {len(ends) - ends.count('passed')} of {len(ends)} fell ({seconds:.0f} s)", flush=True)
            for what, _ in made:
                if known[path, of, what] == "passed":
                    print(f"    {what:40}{source.splitlines()[int(what.split(':')[0]) - 1].strip()}", flush=True)


if __name__ == "__main__":
    main()
