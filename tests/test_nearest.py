from __future__ import annotations

import pytest

from tests import nearest as module
from tests.nearest import ROOT, nearest, nearest_to_changes


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("bracket/files.py", "tests/test_files.py"),
        ("bracket/stats/duel/tries.py", "tests/stats/duel/test_tries.py"),
        ("bracket/session/store.py", "tests/session/test_store.py"),
    ],
)
def test_its_own_test_comes_first(path: str, own: str) -> None:
    found = nearest(path)
    assert found[0] == own and all((ROOT / name).is_file() for name in found)


def test_a_module_without_a_test_of_its_own_has_those_of_its_users() -> None:
    assert "tests/runner/reading/test_outcome.py" in nearest("bracket/runner/reading/signs.py")


def test_of_a_change_its_nearest_tests_run(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {"diff": "bracket/files.py\nREADME.md\n", "ls-files": "presets/mine/a.yaml\n"}

    def told(command: list[str], **_: object) -> object:
        return type("Done", (), {"stdout": listed[command[1]]})

    monkeypatch.setattr(module.subprocess, "run", told)
    names = ("test_house.py", "test_docs.py", "test_files.py", "presets/test_presets.py", "presets/test_matching.py")
    assert nearest_to_changes.__wrapped__() == {ROOT / "tests" / name for name in names}
