"""Where things are, and what child processes are told. The only module that reads bracket's environment variables.

    BRACKET_RUNS         folder of sessions (default: `runs` in the project's folder)
    BRACKET_PRESETS      folder of presets (default: `presets` in the project's folder)
    BRACKET_CACHE        folder of what can be made again (default: the system's cache folder for programs)
    BRACKET_CONFIG       folder of what bracket remembers of this machine (default: the system's folder for settings)
    BRACKET_TRAINERS     folder that trainers are installed into (default: `trainers` in the system's folder for data)
    BRACKET_TIMESTAMP_URL  the RFC 3161 time-stamp authority that signs plans where a session asks for it
    BRACKET_TIMESTAMP_CA   file with its root certificate, where the system doesn't know it
    BRACKET_AUTH         user:password that the app asks for, where it is not to stand in a list of processes

and for each trainer that people already have, NAME being SD_SCRIPTS, MUSUBI or AI_TOOLKIT:

    BRACKET_NAME         its checkout; comes before what `trainers use` remembered
    BRACKET_NAME_PYTHON  the Python it runs in (default: that of a venv inside the checkout or beside it)
    BRACKET_NAME_SOURCE  what `trainers install` clones: the address of a mirror, or a folder
    BRACKET_NAME_COMMIT  the commit it checks out

and BRACKET_PASS: names of further variables, with commas between, that trainers are given though they look like keys.

The start scripts read three more: BRACKET_PYTHON (the interpreter `.venv` is made with), BRACKET_TORCH_INDEX (the
package index torch is taken from) and BRACKET_INSTALLER (`pip` leaves uv out).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

_SECRET = re.compile(
    r"API_?KEY|SECRET|PASSW|CREDENTIAL|PRIVATE_?KEY|ACCESS_?KEY|(TOKEN|_KEY|_KEYS|_PAT|_PASS|_AUTH)$|^(AWS|AZURE)_"
)
"""Names of what opens something: a trainer runs other people's code, and has no use for it."""
_NEEDED = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGINGFACE_TOKEN")
"""Without these a trainer can't fetch gated weights."""
_LOGIN = re.compile(r"^[a-z][a-z0-9+.-]*://[^/\s@]*:[^/\s@]+@", re.IGNORECASE)
_ADDRESSES = re.compile(r"_PROXY$|^(PIP|UV|GIT|CONDA)_|^HF_ENDPOINT$")
"""Those that hold a name and a password because programs need them to reach the network."""


def project_root() -> Path:
    """The folder that holds `bracket/`, `presets/` and `app.py`."""
    return Path(__file__).resolve().parent.parent


def runs_folder() -> Path:
    """The folder of sessions; it need not exist yet."""
    return _folder("BRACKET_RUNS", project_root() / "runs")


def presets_folder() -> Path:
    return _folder("BRACKET_PRESETS", project_root() / "presets")


def timestamp_url() -> str:
    """Where plans are sent to be signed: set up on the machine alone."""
    return os.environ.get("BRACKET_TIMESTAMP_URL") or "http://timestamp.digicert.com"


def timestamp_ca() -> str:
    """The file of that authority's root certificate; "" for the system's."""
    return os.environ.get("BRACKET_TIMESTAMP_CA", "")


def user_cache() -> Path:
    """A folder for what can be made again, by the system's own custom; it need not exist yet."""
    return _folder("BRACKET_CACHE", _custom("LOCALAPPDATA", "AppData/Local", "Caches", "XDG_CACHE_HOME", ".cache"))


def config_folder() -> Path:
    """A folder for what bracket remembers of this machine, by the system's own custom; it need not exist yet."""
    places = ("APPDATA", "AppData/Roaming", "Application Support", "XDG_CONFIG_HOME", ".config")
    return _folder("BRACKET_CONFIG", _custom(*places))


def trainers_folder() -> Path:
    """The folder that trainers are installed into unless another is asked for; it need not exist yet."""
    places = ("LOCALAPPDATA", "AppData/Local", "Application Support", "XDG_DATA_HOME", ".local/share")
    return _folder("BRACKET_TRAINERS", _custom(*places) / "trainers")


def trainer_variable(trainer: str, what: Literal["", "PYTHON", "SOURCE", "COMMIT"] = "") -> str:
    """What the environment says of a foreign trainer ("sd_scripts", "musubi", ...); "" when nothing."""
    name = "_".join(filter(None, ["BRACKET", trainer.upper(), what]))
    return os.environ.get(name, "").strip()


def app_password() -> str:
    """user:password that the app is to ask for; "" for none. Taken out of the environment, so no child inherits it."""
    return os.environ.pop("BRACKET_AUTH", "").strip()


def hosted_at(port: int) -> list[str]:
    """Patterns of the hosts by which RunPod's or Colab's proxy shows what listens on a port here; [] elsewhere."""
    pod = os.environ.get("RUNPOD_POD_ID", "").strip().lower()
    runpod = [f"{pod}-{port}.proxy.runpod.net"] if pod.isalnum() else []
    colab = ["*.googleusercontent.com", "*.colab.dev", "*.colab-user-runtimes.internal"]
    return runpod + (colab if os.environ.get("COLAB_RELEASE_TAG") else [])


def no_proxy_for_loopback() -> None:
    """Tell this process and its children that no proxy stands between them and this very machine."""
    for name in ("NO_PROXY", "no_proxy"):
        present = [part for part in os.environ.get(name, "").split(",") if part.strip()]
        if "*" not in present:
            os.environ[name] = ",".join(dict.fromkeys([*present, "localhost", "127.0.0.1", "::1"]))


def drop_unusable_proxies() -> list[str]:
    """Take proxies that this program can't use out of its environment; gives their variables."""
    dropped = []
    for name in [n for n in os.environ if n.upper() in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")]:
        given = os.environ[name].strip()
        try:
            parts = urlsplit(given if "://" in given else f"http://{given}")
            usable = parts.scheme in ("http", "https", "socks5", "socks5h") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if given and not usable:
            del os.environ[name]
            dropped.append(name)
    return dropped


def torch_index() -> str:
    """The package index torch is to be taken from; "" for the one that fits the machine."""
    return os.environ.get("BRACKET_TORCH_INDEX", "").strip()


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


def for_trainers(environment: Mapping[str, str], argv: Iterable[str] = ()) -> dict[str, str]:
    """What of an environment a trainer is given: all but what opens something else than the weights it fetches.

    Args:
        argv: its command; one that is told to log to Weights & Biases gets the key to it.
    """
    more = {name.strip() for name in environment.get("BRACKET_PASS", "").split(",")}
    if any("wandb" in word.lower() for word in argv):
        more.add("WANDB_API_KEY")

    def given(name: str, value: str) -> bool:
        upper = name.upper()
        if name in more or upper in _NEEDED:
            return True
        return not _SECRET.search(upper) and (not _LOGIN.match(value) or bool(_ADDRESSES.search(upper)))

    return {name: value for name, value in environment.items() if given(name, value)}


def _custom(windows: str, windows_default: str, mac: str, linux: str, linux_default: str) -> Path:
    """bracket's folder under the one a system keeps such things in: two variables with defaults, and Library/`mac`."""
    home = Path.home()
    if sys.platform == "darwin":
        return home / "Library" / mac / "bracket"
    variable, default = (windows, windows_default) if sys.platform == "win32" else (linux, linux_default)
    return Path(os.environ.get(variable) or home / default) / "bracket"


def _folder(variable: str, default: Path) -> Path:
    value = os.environ.get(variable, "").strip()
    return Path(os.path.expanduser(value)).absolute() if value else default
