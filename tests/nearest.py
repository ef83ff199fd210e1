"""Which tests are nearest to a module, and to what changed since the last commit."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ALWAYS = ("tests/test_house.py", "tests/test_docs.py")


def nearest(path: str) -> list[str]:
    """The tests of a module: its own first, then those of its room that import it, from it or from its package."""
    _, *wings, name = Path(path).with_suffix("").parts
    own = "/".join(("tests", *wings, f"test_{name}.py"))
    if not (ROOT / own).exists():  # it is tested by way of those that use it
        users = [p for p in sorted((ROOT / path).parent.glob("[a-z]*.py")) if f".{name} import" in p.read_text()]
        return list(dict.fromkeys(test for p in users for test in nearest(str(p.relative_to(ROOT)))))
    public = "|".join(re.findall(r"^(?:def|class) ([A-Za-z]\w*)", (ROOT / path).read_text(), re.MULTILINE))
    home = r"\.".join(("bracket", *wings))
    named = re.compile(rf"{home}\.{name}\b|from {home} import[^\n]*\b{name}\b|\b({public or name})\b")
    room = (ROOT / "tests" / wings[0]).rglob("test_*.py") if wings else ()
    found = sorted(room, key=lambda p: p.stat().st_size)
    others = [str(p.relative_to(ROOT)) for p in found if named.search(p.read_text())]
    return [own, *(p for p in others if p != own)]


@cache
def nearest_to_changes() -> frozenset[Path]:
    """The test files nearest to what differs from the last commit, new files among it."""
    asked = (["diff", "--name-only", "HEAD"], ["ls-files", "--others", "--exclude-standard"])
    listed = [subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True) for words in asked]
    found = [*ALWAYS]
    for name in "".join(one.stdout for one in listed).splitlines():
        path = Path(name)
        if path.name.startswith("test_"):
            found.append(name)
        elif path.parts[0] == "bracket" and path.suffix == ".py" and (ROOT / path).exists():
            found += nearest(name)
        elif path.parts[0] in ("bracket", "tests", "presets"):  # data, styles, helpers of tests
            place = ROOT / "tests" / Path(*path.parts[1:-1]) if path.parts[0] != "presets" else ROOT / "tests/presets"
            found += [str(p.relative_to(ROOT)) for p in place.glob("test_*.py")]
    return frozenset(ROOT / name for name in found if (ROOT / name).exists())
