from __future__ import annotations

import subprocess
import sys

from bracket import stats


def test_every_export_exists_and_the_list_is_sorted() -> None:
    assert all(hasattr(stats, name) for name in stats.__all__)
    constants_first = sorted(stats.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    assert list(stats.__all__) == constants_first


def test_import_leaves_scipy_alone() -> None:
    code = "import sys, bracket.stats; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
