from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from bracket import packages
from bracket.packages import Installer, SetupError

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX scripts")
LOCKED = ("absl-py==2.5.1", "torch==2.13.0", "uv==0.13.9")


def test_a_lock_is_read_and_compared() -> None:
    old = packages.locked("# a comment\nnumpy==2.4.6\nscipy==1.17.1\nuv==0.13.9\n")
    new = packages.locked(
        "numpy==2.4.6 ; python_full_version < '3.12'\nnumpy==2.5.5 ; python_full_version >= '3.12'\n"
        "scipy==1.17.1\ntriton==3.7.1 ; sys_platform == 'linux'\n"
    )
    assert packages.changes(old, new) == [
        "numpy 2.4.6 → 2.4.6 or 2.5.5",
        "triton (new) → 3.7.1",
        "uv 0.13.9 → (gone)",
    ]


def test_only_pins_get_into_a_lock(tmp_path: Path) -> None:
    compiled = """\
--index-url https://anna:secret@example.org/simple
nvidia-cublas==13.1.1.3 ; sys_platform == 'linux'
numpy==2.4.6
package @ https://example.org/package.whl
other==1.0 ; extra == 'x' # https://example.org
torch==2.13.0+cpu
    # via accelerate
"""
    assert packages.write_lock(tmp_path, compiled) == [
        "numpy (new) → 2.4.6",
        "nvidia-cublas (new) → 13.1.1.3",
        "torch (new) → 2.13.0",
    ]
    lines = (tmp_path / packages.LOCK).read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["numpy==2.4.6", "torch==2.13.0"]
    assert "nvidia-cublas==13.1.1.3 ; sys_platform == 'linux'" in (tmp_path / packages.CUDA_LOCK).read_text()


def test_a_lock_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / packages.LOCK.parent).write_text("")
    with pytest.raises(SetupError, match="can't be written"):
        packages.write_lock(tmp_path, "numpy==2.5.0\n")


def test_the_lock_holds_what_the_lists_name() -> None:
    from bracket import bootstrap

    pins = packages.locked((bootstrap.ROOT / packages.LOCK).read_text(encoding="utf-8"))
    assert pins["torch"] == bootstrap.TORCH
    lists = [(bootstrap.ROOT / name).read_text() for name in ("requirements.txt", "tests/requirements.txt")]
    rows = [re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+),<([\d.]+)$", row) for row in "".join(lists).splitlines()]
    bounds = {row[1]: (row[2], row[3]) for row in rows if row}
    assert len(bounds) == sum(1 for row in "".join(lists).splitlines() if row and not row.startswith("#"))

    def number(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    wrong = [
        name for name, (low, high) in bounds.items() if not number(low) <= number(pins.get(name, "0")) < number(high)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("settings", "environ", "added", "words"),
    [
        ({}, {}, {}, []),
        ({"index-url": "https://a:b@c/simple"}, {}, {"UV_DEFAULT_INDEX": "https://a:b@c/simple"}, []),
        (
            {"extra-index-url": "\nhttps://a\nfile:///b"},
            {},
            {"UV_EXTRA_INDEX_URL": "https://a file:///b", "UV_INDEX_STRATEGY": "unsafe-best-match"},
            [],
        ),
        ({"find-links": "/a https://b"}, {}, {"UV_FIND_LINKS": "/a,https://b"}, []),
        ({"constraint": "/a /b", "no-index": "yes"}, {}, {}, ["-c", "/a", "-c", "/b", "--no-index"]),
        ({"no-index": "false", "quiet": "1"}, {}, {}, []),
        ({"cert": "/a", "timeout": "60"}, {"SSL_CERT_FILE": "/b"}, {"UV_HTTP_TIMEOUT": "60"}, []),
        ({"index-url": "https://a", "cert": "/a"}, {"UV_INDEX": "https://own"}, {"SSL_CERT_FILE": "/a"}, []),
    ],
)
def test_uv_gets_pips_settings(
    settings: dict[str, str], environ: dict[str, str], added: dict[str, str], words: list[str]
) -> None:
    if os.name == "nt" and "/a" in "".join(settings.values()):
        pytest.skip("paths of POSIX")
    assert packages.for_uv(settings, environ) == (added, words)


def test_a_setting_that_uv_lacks_is_named() -> None:
    with pytest.raises(ValueError, match="only-binary"):
        packages.for_uv({"only-binary": ":all:"}, {})


class Machine:
    """A project whose Python and uv are scripts that write down what they were told, and with which environment."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.log, self.bin = root / "house", root / "log", root / "bin"
        self.bin.mkdir()
        self.root.mkdir()
        packages.write_lock(self.root, "\n".join(LOCKED))
        self.pip_config, self.python = root / "config", self.bin / "python"
        self.pip_config.write_text("")
        self.script("python", f'case "$*" in *"config list"*) cat {self.pip_config}; exit;; esac')
        monkeypatch.setenv("PATH", f"{self.bin}{os.pathsep}/usr/bin{os.pathsep}/bin")
        for name in [name for name in os.environ if name.startswith(("UV_", "PIP_", "SSL_", "BRACKET_"))]:
            monkeypatch.delenv(name)

    def script(self, name: str, body: str = "", path: Path | None = None) -> None:
        path = path or self.bin / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without the interpreter's and pip's own words, which stand in front of every call.
        seen = (
            f'case "$*" in *"config list"*|--version) ;; *) echo "{name} $* [$UV_DEFAULT_INDEX]" >> {self.log};; esac'
        )
        path.write_text(f"#!/bin/sh\n{seen}\n{body}\n")
        path.chmod(0o755)

    def calls(self) -> list[str]:
        text = self.log.read_text() if self.log.exists() else ""
        self.log.unlink(missing_ok=True)
        words = [
            *("-m pip --no-input --disable-pip-version-check ", f"--python {self.python} ", "--quiet "),
            *(f"{self.root}/", " []"),
        ]
        for word in words:
            text = text.replace(word, "")
        return text.splitlines()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@posix
def test_uv_on_the_path_installs(machine: Machine) -> None:
    machine.script("uv")
    machine.pip_config.write_text(
        "global.index-url='https://a:b@c'\n:env:.index-url='https://d'\ninstall.no-index='0'\n"
    )
    installer = Installer(machine.root, machine.python)
    installer.install(["torch==2.13.0"], "https://torch", renewed=["torch"])
    assert installer.cached(["-r", "list"])
    assert machine.calls() == [
        "uv pip install torch==2.13.0 --upgrade-package torch [https://torch]",
        "uv pip install --offline -r list [https://d]",
    ]


@posix
@pytest.mark.parametrize("there", ["nothing", "broken"])
def test_uv_is_fetched_by_pip_and_kept_beside_the_venv(machine: Machine, there: str) -> None:
    if there == "broken":
        machine.script("uv", "exit 3")
    own = machine.root / ".cache/uv/bin/uv"
    machine.script("uv", path=machine.root / "spare")
    body = (machine.bin / "python").read_text().partition("\n")[2]
    fetch = f'case "$*" in *--target*) mkdir -p {own.parent}; cp {machine.root}/spare {own};; esac'
    machine.script("python", f"{body}{fetch}")
    machine.calls()
    Installer(machine.root, machine.python).install(["numpy"])
    Installer(machine.root, machine.python).install(["scipy"])
    calls = [call for call in machine.calls() if "install" in call]
    assert list(dict.fromkeys(calls)) == [
        "python --retries 1 install --upgrade --target .cache/uv uv -c .constraints/all.txt",
        "uv pip install numpy",
        "uv pip install scipy",
    ]


@posix
def test_pip_installs_where_uv_cannot_be_had(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    installer = Installer(machine.root, machine.python)
    assert "uv can't be had" in capsys.readouterr().out
    assert not installer.cached(["numpy"])
    machine.calls()
    installer.install(["numpy"], "https://own", renewed=["numpy"])
    newest = "--upgrade --upgrade-strategy eager"
    assert machine.calls() == [f"python install numpy {newest} --index-url https://own"]
    with pytest.raises(SetupError, match="need uv"):
        installer.install(["numpy"], lowest=True)
    with pytest.raises(SetupError, match="only uv can renew"):
        installer.renew("2.13.0")


@posix
def test_pip_installs_what_uv_fails_at_and_the_rest(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.script("uv", '[ "$1" = --version ]')
    installer = Installer(machine.root, machine.python)
    installer.install(["numpy"])
    installer.install(["scipy"])
    assert machine.calls() == ["uv pip install numpy", "python install numpy", "python install scipy"]
    assert "pip tries it now" in capsys.readouterr().out


@posix
@pytest.mark.parametrize("why", ["a setting uv lacks", "no listing", "asked for"])
def test_pip_installs_where_uv_might_do_otherwise(machine: Machine, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.script("uv")
    if why == "asked for":
        monkeypatch.setenv("BRACKET_INSTALLER", "pip")
    elif why == "no listing":
        machine.script("python", 'case "$*" in *"config list"*) exit 2;; esac')
    else:
        machine.pip_config.write_text("global.only-binary=':all:'\n")
    Installer(machine.root, machine.python).install(["numpy"])
    assert machine.calls() == ["python install numpy"]


@posix
def test_no_network_ends_in_a_sentence_without_passwords(machine: Machine) -> None:
    machine.script("python", 'case "$*" in *"config list"*) exit;; esac; exit 1')
    with pytest.raises(SetupError, match="Check the network") as told:
        Installer(machine.root, machine.python).install(["numpy"], "https://anna:secret@own/simple")
    assert "https://***@own/simple" in str(told.value) and "secret" not in str(told.value)


@posix
def test_the_lock_is_renewed_for_all_at_once(machine: Machine) -> None:
    machine.script(
        "uv", 'case "$*" in *compile*) echo "numpy==2.5.0"; echo "torch==2.13.0"; cat >> ' + f"{machine.log};; esac"
    )
    changed = Installer(machine.root, machine.python).renew("2.13.0")
    assert changed == ["absl-py 2.5.1 → (gone)", "numpy (new) → 2.5.0", "uv 0.13.9 → (gone)"]
    call, *wanted = machine.calls()
    assert "--universal --python-version 3.11" in call and "--upgrade" in call
    assert wanted == ["torch===2.13.0", "uv"]


@posix
def test_a_lock_that_cannot_be_made_stays(machine: Machine) -> None:
    machine.script("uv", '[ "$1" = --version ]')
    before = (machine.root / packages.LOCK).read_text()
    with pytest.raises(SetupError, match="The lock is as it was"):
        Installer(machine.root, machine.python).renew("2.13.0")
    assert (machine.root / packages.LOCK).read_text() == before
