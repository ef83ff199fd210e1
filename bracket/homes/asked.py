"""What a trainer says when its own programs are started: whether its imports work, and what its parsers take.

Both cost its imports, some ten seconds. What parsers take is kept while the checkout's files stay as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bracket.domain import Problem
from bracket.environment import child_env, config_folder
from bracket.errors import StorageError, TrainerError
from bracket.files import read_json, write_json
from bracket.homes.flags import digest_of
from bracket.homes.look import ahead_and_behind, changes, commit_of, interpreter, listed
from bracket.homes.registry import Home
from bracket.homes.upstream import UPSTREAMS

_SECONDS = 120.0
_IMPORTS = "imports"
_LOOK = """
import importlib, json, sys
for name in sys.argv[1:]:
    print("importing", name, flush=True)
    importlib.import_module(name)
import torch
gpu = torch.cuda.is_available()
print(json.dumps([torch.__version__, torch.cuda.get_device_name(0) if gpu else ""]), flush=True)
"""
_PARSE = """
import argparse, json, os, runpy, sys
def answer(parser, *_, **__):
    options = [{"flags": a.option_strings, "nargs": a.nargs, "required": a.required,
                "choices": a.choices and [str(c) for c in a.choices],
                "type": getattr(a.type, "__name__", "") if a.type else ""} for a in parser._actions if a.option_strings]
    found = [vars(m.ConfigSanitizer) for m in list(sys.modules.values()) if hasattr(m, "ConfigSanitizer")]
    keys = {str(key) for named in found for schema in named.values() if isinstance(schema, dict) for key in schema}
    print("\\n" + json.dumps({"options": options, "keys": sorted(keys)}), flush=True)
    os._exit(0)
argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_known_args = answer
sys.argv = sys.argv[1:]
sys.path[0] = os.path.dirname(sys.argv[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Run as the script, up to where its arguments would be read."""


@dataclass(frozen=True)
class Parser:
    """What a script takes: its options as argparse has them, and the keys of its dataset files (empty: not known)."""

    options: Sequence[Mapping[str, Any]]
    keys: frozenset[str]

    def refused(self, words: Sequence[str], *, whole: bool = True) -> list[str]:
        """What the script would refuse in these words of a command line: flags it lacks, and others as `--flag: why`.

        Args:
            whole: these are all its arguments, so that required ones must be among them.
        """
        parser = _Strict(add_help=False, argument_default=argparse.SUPPRESS)
        for option in self.options:
            if option["nargs"] == 0:
                parser.add_argument(*option["flags"], action="store_true")
            else:
                kind = str if option["choices"] else {"int": int, "float": float}.get(option["type"], str)
                parser.add_argument(*option["flags"], type=kind, nargs=option["nargs"], choices=option["choices"])
        found = []
        for group in _groups(words):
            try:
                unknown = parser.parse_known_args(group)[1]
            except ValueError as error:
                found.append(str(error))
            else:
                found += [group[0].partition("=")[0]] if unknown else []
        given = {word.partition("=")[0] for word in words}
        lacking = [o["flags"][0] for o in self.options if whole and o["required"] and not given & {*o["flags"]}]
        return list(dict.fromkeys([*found, *(f"{flag}: it is required" for flag in lacking)]))


class _Strict(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message.removeprefix("argument "))


def _groups(words: Sequence[str]) -> list[list[str]]:
    """Flags, each with the words behind it."""
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--"):
            groups.append([word])
        elif groups:
            groups[-1].append(word)
    return groups


def parser_of(home: Home, script: str) -> Parser | None:
    """What a script was found to take; None when it wasn't asked, or the checkout has changed since."""
    try:
        kept = read_json(_place(home, script))
        if kept["of"] == digest_of(home, script):
            return Parser(kept["options"], frozenset(kept["keys"]))
    except (StorageError, KeyError, TypeError):
        pass
    return None


def ask_parsers(home: Home, scripts: Iterable[str], seconds: float = _SECONDS) -> list[Problem]:
    """Starts scripts up to where they read their arguments, and keeps what they take; those that can't be started are
    problems. One that takes too long is left for another time."""
    asked = [script for script in dict.fromkeys(scripts) if parser_of(home, script) is None]
    with ThreadPoolExecutor(2) as pool:
        answers = pool.map(lambda script: _ask(home, [_PARSE, str(program(home, script))], seconds), asked)
    found = []
    for script, (said, error) in zip(asked, answers, strict=True):
        if error:
            what = f"{UPSTREAMS[home.trainer].title}: {script} can't be started: {error}"
            found.append(Problem("error", what, "See `python -m bracket doctor`.", home.folder))
        elif isinstance(said, dict):
            with suppress(StorageError):  # it is asked again, then
                write_json(_place(home, script), {"of": digest_of(home, script), **said})
    return found


def examined(home: Home, seconds: float = _SECONDS) -> list[Problem]:
    """What takes a closer look at a home: changes of the user's in it, and whether a training's imports work there."""
    looked = imports(home, seconds)
    errors = [{"message": p.message, "remedy": p.remedy} for p in looked if p.level == "error"]
    with suppress(StorageError):  # it is only told less often, then
        write_json(_place(home, _IMPORTS), {"of": _build_of(home), "errors": errors})
    return _titled(home, [*_changed(home), *looked])


def broken(home: Home) -> list[Problem]:
    """What the last closer look couldn't import, while Python, its packages and the commit stay as they were then."""
    try:
        kept = read_json(_place(home, _IMPORTS))
        errors = kept["errors"] if kept["of"] == _build_of(home) else []
        return _titled(home, [Problem("error", e["message"], e["remedy"], home.python) for e in errors])
    except (StorageError, KeyError, TypeError):
        return []


def _titled(home: Home, found: Iterable[Problem]) -> list[Problem]:
    title = UPSTREAMS[home.trainer].title
    return [Problem(p.level, f"{title}: {p.message}", p.remedy, p.path) for p in found]


def _build_of(home: Home) -> str:
    """One word for the Python, its packages and the checkout's commit."""
    python = interpreter(home.python)
    places = [
        p for folder in (python.paths if python else ()) for p in (folder, folder / "torch", folder / "torch/lib")
    ]
    stamps = [(str(p), p.stat().st_mtime_ns) for p in (home.python, home.folder, *places) if p.exists()]
    return hashlib.sha256(repr((stamps, commit_of(home.folder))).encode()).hexdigest()[:16]


def imports(home: Home, seconds: float = _SECONDS) -> list[Problem]:
    """Imports what a training begins with, in the trainer's own Python: torch and its GPU, or what goes wrong."""
    upstream = UPSTREAMS[home.trainer]
    said, error = _ask(home, [_LOOK, *upstream.modules], seconds)
    if error:
        remedy = f"Mend its venv, or `python -m bracket trainers install {upstream.verb}` makes a new one."
        return [Problem("error", f"it can't be imported: {error}", remedy, home.python)]
    if said is None:
        return [Problem("warning", f"its imports took longer than {seconds:.0f} s", "Try again.", home.python)]
    torch, gpu = said
    if not gpu and sys.platform != "darwin" and shutil.which("nvidia-smi"):
        return [Problem("error", f"its torch {torch} sees no GPU", "Check the driver: nvidia-smi.", home.python)]
    return [Problem("info", f"it imports, with torch {torch} on {gpu or 'the CPU alone'}")]


def _changed(home: Home) -> list[Problem]:
    upstream, found = UPSTREAMS[home.trainer], []
    with suppress(TrainerError):  # no git, or no checkout of git's: there is nothing to say
        if mine := changes(home.folder):
            remedy = "An update refuses to overwrite them."
            found.append(Problem("warning", f"it has changes of yours: {listed(mine)}", remedy, home.folder))
        ahead, behind = ahead_and_behind(home.folder, upstream.pinned)
        if ahead or behind:
            said = f"it has {ahead} commits that the tested {upstream.pinned[:7]} has not, and lacks {behind} of its"
            found.append(Problem("info", said, path=home.folder))
    return found


def program(home: Home, script: str) -> Path:
    """A script's file: at the checkout's root, or where only musubi's package has it."""
    place = home.folder / script
    return place if place.is_file() or home.trainer != "musubi" else home.folder / "src" / "musubi_tuner" / script


def _ask(home: Home, words: Sequence[str], seconds: float) -> tuple[Any, str]:
    """What a piece of Python answers on its last line, run where the trainer runs; else why it could not, in a line."""
    roots = [str(home.folder), str(home.folder / "src"), os.environ.get("PYTHONPATH", "")]
    env = {**child_env(own=False), "PYTHONPATH": os.pathsep.join(filter(None, roots))}
    command = [str(home.python), "-c", *words]
    try:
        run = subprocess.run(command, env=env, cwd=home.folder, stdin=subprocess.DEVNULL, capture_output=True,
                             timeout=seconds, check=False)  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, ""
    except OSError as error:
        return None, str(error)
    said = run.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        return (json.loads(said[-1]), "") if run.returncode == 0 else (None, _reason(run, said))
    except (IndexError, ValueError):
        return None, "it reads no arguments"


def _reason(run: subprocess.CompletedProcess[bytes], said: Sequence[str]) -> str:
    lines = run.stderr.decode("utf-8", "replace").strip().splitlines()
    last = next((line.strip() for line in reversed(lines) if line.strip() and not line.startswith(" ")), "")
    during = next((line for line in reversed(said) if line.startswith("importing ")), "")
    if run.returncode < 0:
        last = f"it was killed by signal {-run.returncode}"
    return ": ".join(filter(None, [during, last])) or f"it ended with code {run.returncode}"


def _place(home: Home, script: str) -> Path:
    return config_folder() / "parsers" / f"{home.trainer}-{Path(script).stem}.json"
