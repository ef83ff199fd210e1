"""Checkouts of stand-in trainers: folders that bracket takes for the real ones, each with a Python of its own."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from pathlib import Path

from bracket.homes import UPSTREAMS

_HERE = Path(__file__).parent
_FLAGS = Path(__file__).parents[2] / "data" / "kohya-flags"
_OPTIONAL = ("bitsandbytes", "prodigyopt", "lion-pytorch", "schedulefree")
"""What presets' optimisers need beside the trainers' own packages."""
_SCRIPTS = {
    "sd_scripts": ("sd-scripts", ("train_network.py", "sdxl_train_network.py")),
    "musubi": (
        "musubi-tuner",
        ("zimage_cache_latents.py", "zimage_cache_text_encoder_outputs.py", "zimage_train_network.py"),
    ),
}
_ARCHS = ("zimage", "flux2_klein_4b", "qwen_image")


def make_checkout(trainer: str, folder: Path) -> dict[str, str]:
    """Makes a checkout of a stand-in, and a venv inside it.

    Returns:
        The environment variables that point bracket at them.
    """
    for mark in UPSTREAMS[trainer].marks:
        if mark.endswith("/"):
            (folder / mark).mkdir(parents=True)
    if trainer in _SCRIPTS:
        repo, scripts = _SCRIPTS[trainer]
        for script in scripts:
            options = json.loads((_FLAGS / repo / f"{Path(script).stem}.json").read_text("utf-8"))["options"]
            call = f"main({repo!r}, {script!r}, json.loads(OPTIONS))"
            _write(folder / script, _shim("kohya_program", f"OPTIONS = r'''{json.dumps(options, indent=0)}'''", call))
    else:
        _write(folder / "run.py", _shim("ai_toolkit_program", "", "main()"))
        models = "".join(f'class Model{n}:\n    arch = "{arch}"\n' for n, arch in enumerate(_ARCHS))
        _write(folder / "extensions_built_in" / "diffusion_models.py", models)
    python = _make_venv(folder / "venv", UPSTREAMS[trainer].core)
    name = f"BRACKET_{trainer.upper()}"
    return {name: str(folder), f"{name}_PYTHON": str(python)}


def _shim(module: str, data: str, call: str) -> str:
    lines = ["import json", "import sys", f"sys.path.insert(0, {str(_HERE)!r})", f"from {module} import main"]
    return "\n".join([*lines, data, 'if __name__ == "__main__":', f"    {call}", ""])


def _make_venv(folder: Path, core: tuple[str, ...]) -> Path:
    """A venv that imports what runs the tests, and passes for one with the trainer's packages.

    Returns:
        Its interpreter.
    """
    import venv

    venv.EnvBuilder(symlinks=os.name != "nt").create(folder)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    _write(site / "tests.pth", "\n".join(p for p in sys.path if p.endswith("site-packages")))
    for name in (*core, *_OPTIONAL):
        (site / f"{name.replace('-', '_')}-99.0.dist-info").mkdir()
    # Never imported: it says that this Python's torch can use a GPU, should the machine have one.
    _write(site / "torch" / "version.py", "__version__ = '99.0'\ncuda = '12.8'\n")
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
