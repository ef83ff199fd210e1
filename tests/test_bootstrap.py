from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bracket import bootstrap, locks, packages

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX scripts")


def fake_smi(folder: Path, answer: str, code: int = 0) -> None:
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\nprintf '{answer}'\nexit {code}\n")
    script.chmod(0o755)


@posix
@pytest.mark.parametrize(
    ("answer", "code", "kind"),
    [
        ("580.65.06, 9.0\\n", 0, "cu130"),
        ("610.10, 12.0\\n610.10, 7.5\\n", 0, "cu130"),
        ("550.54.15, 9.0\\n", 0, "cu126"),
        ("580.65.06, 8.9\\n580.65.06, 6.1\\n", 0, "cu126"),
        ("", 0, "cpu"),
        ("No devices were found\\n", 6, "cpu"),
        ("[N/A], [N/A]\\n", 0, "cpu"),
    ],
)
def test_torch_fits_driver_and_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, kind: str
) -> None:
    fake_smi(tmp_path, answer, code)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    assert bootstrap.torch_kind() == kind


def test_without_nvidia_smi_torch_is_for_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert bootstrap.torch_kind() == "cpu"


class House:
    """A project folder whose venv is real and whose installer only writes down what it was told."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.calls = root, list[str]()
        self.fail, self.kept, self.there = "", "", dict[str, str]()
        (root / "requirements.txt").write_text("torch>=2.6,<3\nnumpy\n")
        (root / "tests").mkdir()
        (root / "tests" / "requirements.txt").write_text("pytest\n")
        packages.write_lock(root, "numpy==2.4.6\nnvidia-cublas==13.1\n")
        monkeypatch.setattr(bootstrap, "make_venv", self.make_venv)
        monkeypatch.setattr(bootstrap, "Installer", lambda root, python: self)
        monkeypatch.setattr(bootstrap, "reachable", lambda url: True)
        monkeypatch.setattr(bootstrap, "_runs", lambda python, module: python.exists())
        self.python = root / "none"

    def make_venv(self, venv: Path) -> None:
        self.calls.append("venv")
        python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        python.parent.mkdir(parents=True)
        python.symlink_to(sys.executable)
        self.python = python

    def cached(self, what: list[str], index: str = "") -> bool:
        return bool(self.kept) and self.kept in " ".join([*what, ""])

    def install(self, what: list[str], index: str = "", renewed: Sequence[str] = (), lowest: bool = False) -> None:
        more = [f"--index-url {index}"] if index else []
        more += [f"renewed {' '.join(renewed)}"] if renewed else []
        self.pip(["install", *what, *more, *(["lowest"] if lowest else [])])

    def pip(self, what: list[str]) -> None:
        call = " ".join(what).replace(f"{self.root}{os.sep}", "").replace("\\", "/")
        self.calls.append(call)
        if self.fail and self.fail in call:
            raise packages.SetupError("no network")

    def present(self) -> dict[str, str]:
        return self.there

    def renew(self, torch: str) -> list[str]:
        self.calls.append(f"renew beside {torch}")
        return packages.write_lock(self.root, "numpy==2.5.0\n")

    def set_up(self, *lists: str, kind: str = "cpu", index: str = "", asked: str = "") -> list[str]:
        self.calls = []
        bootstrap.set_up(self.root, kind, lists or ("requirements.txt",), index, asked)
        return self.calls


CPU = "install torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
LIST = "install -r requirements.txt -c .constraints/all.txt"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    return House(tmp_path, monkeypatch)


def test_torch_comes_first_and_a_second_start_installs_nothing(house: House) -> None:
    assert house.set_up() == ["venv", CPU, LIST]
    assert house.set_up() == []
    tests = "install -r tests/requirements.txt -c .constraints/all.txt"
    assert house.set_up("requirements.txt", "tests/requirements.txt") == [tests]
    assert house.set_up() == []


def test_a_changed_list_is_installed_alone(house: House) -> None:
    house.set_up()
    (house.root / "requirements.txt").write_text("numpy\nscipy\n")
    assert house.set_up() == [LIST]


def test_a_changed_lock_is_installed(house: House) -> None:
    house.set_up()
    packages.write_lock(house.root, "numpy==2.4.7\n")
    assert house.set_up() == [LIST]
    assert house.set_up() == []


def test_a_second_start_asks_no_network(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.set_up()

    def asked(*_: object) -> None:
        raise AssertionError("something was looked for")

    monkeypatch.setattr(bootstrap, "Installer", asked)
    monkeypatch.setattr(bootstrap, "reachable", asked)
    monkeypatch.setenv("PATH", "")
    assert house.set_up() == []


def test_what_uv_kept_is_not_fetched_again(house: House) -> None:
    house.kept = "torch==2.13.0"
    assert house.set_up() == ["venv", LIST]
    shutil.rmtree(house.root / ".venv")
    house.kept = " "
    assert house.set_up() == ["venv"]


def test_latest_stays_until_locked(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.set_up()
    house.there = {"torch": "2.14.1+cpu", "numpy": "2.4.6"}
    torch = "install torch>=2.6,<3 --index-url https://download.pytorch.org/whl/cpu renewed torch"
    newest = [torch, "install -r requirements.txt torch==2.14.1+cpu renewed numpy"]
    assert house.set_up(asked="latest") == newest
    capsys.readouterr()
    assert house.set_up() == []
    assert "--locked goes back" in capsys.readouterr().err
    assert house.set_up(asked="latest") == newest  # there may be newer ones by now
    house.there = {}
    assert house.set_up(asked="locked") == [CPU, LIST]
    assert house.set_up(asked="locked") == house.set_up() == []


def test_a_failed_latest_is_mended_by_the_next_start(house: House) -> None:
    house.set_up()
    house.fail = "-r requirements.txt"
    with pytest.raises(packages.SetupError):
        house.set_up(asked="latest")
    house.fail = ""
    assert house.set_up() == [CPU, LIST]


def test_lowest_means_torch_too(house: House) -> None:
    cpu = "--index-url https://download.pytorch.org/whl/cpu"
    calls = house.set_up("requirements.txt", "tests/requirements.txt", asked="lowest")
    assert calls == [
        "venv",
        f"install torch>=2.6,<3 {cpu} renewed torch lowest",
        "install -r requirements.txt -r tests/requirements.txt lowest",
    ]


def test_update_renews_the_lock_and_what_is_installed(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.set_up("requirements.txt", "tests/requirements.txt")
    both = "install -r requirements.txt -r tests/requirements.txt -c .constraints/all.txt"
    assert house.set_up(asked="update") == ["renew beside 2.13.0", both]
    said = capsys.readouterr().out
    assert "numpy 2.4.6 → 2.5.0" in said and "nvidia-cublas 13.1 → (gone)" in said
    assert house.set_up() == []


@pytest.mark.parametrize("python", [(3, 15, 0), (3, 11, 7)])
def test_without_a_lock_that_fits_the_bounds_hold(
    house: House, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], python: tuple[int, ...]
) -> None:
    if python < (3, 15):
        shutil.rmtree(house.root / ".constraints")
    monkeypatch.setattr(packages.sys, "version_info", python)
    assert house.set_up() == ["venv", CPU, "install -r requirements.txt"]
    assert "what requirements.txt allows is installed" in capsys.readouterr().out
    assert house.set_up() == []
    monkeypatch.undo()


@pytest.mark.parametrize(("kind", "beside"), [("cu130", "-c .constraints/cuda.txt "), ("cu126", "")])
def test_every_build_has_its_lock(house: House, kind: str, beside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    torch = f"install torch==2.13.0 {beside}--index-url https://download.pytorch.org/whl/{kind}"
    assert house.set_up(kind=kind) == ["venv", torch, LIST]


def test_a_lock_that_does_not_fit_a_build_of_torch_keeps_nobody_from_it(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    house.fail = "cuda.txt"
    plain = "install torch==2.13.0 --index-url https://download.pytorch.org/whl/cu130"
    assert house.set_up(kind="cu130")[2:] == [plain, LIST]
    assert "may not fit this build of torch" in capsys.readouterr().out


def test_line_ends_are_no_change(house: House) -> None:
    house.set_up()
    (house.root / "requirements.txt").write_bytes(b"torch>=2.6,<3\r\nnumpy\r\n")
    assert house.set_up() == []


def test_a_failed_install_goes_on_where_it_stopped(house: House) -> None:
    house.fail = "-r requirements.txt"
    with pytest.raises(packages.SetupError):
        house.set_up()
    house.fail = ""
    assert house.set_up() == [LIST]


def test_a_killed_install_starts_over(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    house.set_up()
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    (house.root / ".venv.installing").write_text(dead.stdout)
    assert house.set_up() == ["venv", CPU, LIST]
    assert "starting over" in capsys.readouterr().out
    assert not (house.root / ".venv.installing").exists()


def test_two_set_ups_do_not_meet(house: House) -> None:
    held = locks.take(house.root / ".venv.installing")
    assert held is not None
    with pytest.raises(packages.SetupError, match=f"process {os.getpid()}"):
        house.set_up()
    assert house.calls == []
    held.release()
    assert house.set_up() == ["venv", CPU, LIST]


def test_a_new_gpu_brings_its_own_torch(house: House) -> None:
    house.set_up()
    gpu = "install torch==2.13.0 -c .constraints/cuda.txt --index-url https://download.pytorch.org/whl/cu130"
    house.fail = ""
    assert house.set_up(kind="cu130") == ["uninstall --yes torch", gpu, LIST]
    # The driver is away for a while (an update, a container): the GPU build stays.
    assert house.set_up(kind="cpu") == []


def test_an_index_of_ones_own_is_used(house: House) -> None:
    assert "install torch==2.13.0 --index-url https://example.org/rocm" in house.set_up(
        index="https://example.org/rocm"
    )


def test_an_unreachable_index_is_passed_over(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "reachable", lambda url: False)
    assert house.set_up() == ["venv", "install torch==2.13.0", LIST]


def test_stamps_that_are_damaged_mean_an_install(house: House) -> None:
    house.set_up()
    (house.root / ".venv" / "installed.json").write_text('{"torch": ')
    assert house.set_up() == [CPU, LIST]
    assert json.loads((house.root / ".venv" / "installed.json").read_text())["torch"] == "2.13.0 cpu"


def test_a_server_that_does_not_answer_costs_little_time() -> None:
    class Slow(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "slow" in self.path:
                time.sleep(1)
            self.send_response(404 if "none" in self.path else 200)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        assert bootstrap.reachable(f"{url}/whl/")
        assert not bootstrap.reachable(f"{url}/none/")
        assert not bootstrap.reachable(f"{url}/slow/", 0.1)
    finally:
        server.shutdown()
        server.server_close()
    assert not bootstrap.reachable(url)


def test_options_of_the_set_up_stand_first() -> None:
    assert bootstrap.option(["--latest", "run", "--update"]) == ("latest", ["run", "--update"])
    assert bootstrap.option(["run", "--update"]) == ("", ["run", "--update"])
    assert bootstrap.option([]) == ("", [])


def test_verbs_go_to_the_command_line_and_options_to_the_app() -> None:
    app = str(bootstrap.ROOT / "app.py")
    assert bootstrap.arguments([]) == ["-P", app]
    assert bootstrap.arguments(["--port", "7861"]) == ["-P", app, "--port", "7861"]
    assert bootstrap.arguments(["run", "a folder", "-x"]) == ["-P", "-m", "bracket", "run", "a folder", "-x"]


@posix
def test_the_script_works_from_any_folder_and_names_a_wrong_python(tmp_path: Path) -> None:
    script = [str(bootstrap.ROOT / "start_gui.sh"), "--help"]
    run = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, bootstrap.USAGE)
    env = os.environ | {"BRACKET_PYTHON": "/bin/false"}
    run = subprocess.run(script, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 1
    assert "BRACKET_PYTHON (/bin/false)" in run.stderr


def test_bootstrap_needs_nothing_installed(tmp_path: Path) -> None:
    argv = [sys.executable, "-I", "-S", str(bootstrap.ROOT / "bracket" / "bootstrap.py"), "--help"]
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True).stdout == bootstrap.USAGE
