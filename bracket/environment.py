"""Where things are, and what child processes are told. The only module that reads bracket's environment variables.

    BRACKET_RUNS         folder of sessions (default: `runs` in the project's folder)
    BRACKET_PRESETS      folder of presets (default: `presets` in the project's folder)
    BRACKET_CACHE        folder of what can be made again (default: the system's cache folder for programs)

The start scripts read two more: BRACKET_PYTHON (the interpreter `.venv` is made with) and BRACKET_TORCH_INDEX (the
package index torch is taken from).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def project_root() -> Path:
    """The folder that holds `bracket/`, `presets/` and `app.py`."""
    return Path(__file__).resolve().parent.parent


def runs_folder() -> Path:
    """The folder of sessions; it need not exist yet."""
    return _folder("BRACKET_RUNS", project_root() / "runs")


def presets_folder() -> Path:
    return _folder("BRACKET_PRESETS", project_root() / "presets")


def user_cache() -> Path:
    """A folder for what can be made again, by the system's own custom; it need not exist yet."""
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return _folder("BRACKET_CACHE", base / "bracket")


def python_executable() -> str:
    """The interpreter that bracket's own child processes run in: the one that runs now."""
    return sys.executable


def child_env(threads: int | None = None, *, own: bool = True) -> dict[str, str]:
    """The whole environment of a child process: the present one and what every child needs.

    OpenMP's workers spin at barriers by default, which makes a small model many times slower as soon as another process
    wants the core; so they sleep, and `threads` (when given) is set before the child imports torch.

    Args:
        threads: how many cores the child may use; None leaves that to the child.
        own: the child is bracket's own program and must find the package; a foreign trainer must not.
    """
    env = dict(os.environ)
    env |= {
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    if threads is not None:
        env |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    if own:
        present = env.get("PYTHONPATH")
        env["PYTHONPATH"] = os.pathsep.join([str(project_root()), *([present] if present else [])])
    return env


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable, "").strip()
    return Path(value).expanduser().absolute() if value else default
