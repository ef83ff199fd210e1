from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import app
from bracket.environment import child_env, project_root


def test_a_port_in_use_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert app.free_port("127.0.0.1", port) > port


def test_a_free_port_is_kept() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert app.free_port("127.0.0.1", port) == port


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 0), ("127.0.0.1", 70000), ("no.such.host.invalid", 7860)])
def test_what_is_no_address_is_said(host: str, port: int) -> None:
    with pytest.raises(app.StartError, match=r"^--(host|port) "):
        app.free_port(host, port)


def test_an_address_of_another_machine_is_said() -> None:
    with pytest.raises(app.StartError, match="not an address of this machine"):
        app.free_port("192.0.2.1", 7860)


@pytest.mark.parametrize(
    ("auth", "host", "share", "said"),
    [
        ("", "0.0.0.0", False, "--host 0.0.0.0 lets other machines in"),
        ("", "127.0.0.1", True, "--share lets everybody in"),
        ("anna", "127.0.0.1", False, "--auth needs a name and a password"),
        (":secret", "127.0.0.1", False, "--auth needs a name and a password"),
    ],
)
def test_open_doors_need_a_password(auth: str, host: str, share: bool, said: str) -> None:
    with pytest.raises(app.StartError, match=said):
        app.credentials(auth, host, share)


def test_a_password_may_hold_colons() -> None:
    assert app.credentials("anna:a:b", "0.0.0.0", False) == ("anna", "a:b")
    assert app.credentials("", "127.0.0.1", False) is None


def test_the_refusal_is_one_line_without_a_traceback() -> None:
    run = subprocess.run(
        [sys.executable, "app.py", "--host", "0.0.0.0"],
        cwd=project_root(),
        env=child_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("bracket: --host 0.0.0.0 lets other machines in")
    assert run.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_broken_preset_is_named_without_a_traceback(tmp_path: Path) -> None:
    broken = tmp_path / "mine" / "broken.yaml"
    broken.parent.mkdir()
    broken.write_text("name: [")
    run = subprocess.run(
        [sys.executable, "app.py", "--no-browser"],
        cwd=project_root(),
        env={**child_env(), "BRACKET_PRESETS": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert run.stderr.startswith("bracket: the preset can't be read: it is no YAML")
    assert str(broken) in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_the_page_is_built_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from bracket.ui.page import Page; Page(pathlib.Path(sys.argv[1]));"
        "print([m for m in ('torch', 'transformers', 'diffusers', 'optuna', 'matplotlib.pyplot') if m in sys.modules])"
    )
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=project_root(),
        env=child_env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.strip() == "[]", run.stderr
    assert time.monotonic() - began < 60
