"""Bad input at the command line: `python -m tests.benchmarks.bench_inputs [--only WORDS]`.

Over 500 inputs that people bring or that somebody made to do harm: numbers, names, datasets, dataset files, settings,
damaged sessions, presets, rubrics, judges, weights. Each runs in a process of its own and must end within ten seconds,
without a traceback, and either be refused in a sentence or say in its answer what it made of it (`says`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import struct
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bracket.cli import app as cli
from bracket.demo.dataset import write_demo_dataset
from bracket.unforeseen import guarded
from tests.ui.made import done_session

SECONDS = 10.0
PRESETS = {"sd": "sd15-lora", "musubi": "z-image-lora", "demo": "embedded-demo"}


@dataclass
class Case:
    """One input.

    Attributes:
        argv: what is typed behind `bracket`.
        says: a pattern that the answer must hold where the input is not refused; "" where it must be.
        make: prepares the files, given the case's own folder, which is also where it is typed.
        env: variables beside those there are.
    """

    name: str
    argv: list[str]
    says: str = ""
    make: Callable[[Path], None] = lambda _: None
    env: dict[str, str] | None = None


def plan(*more: str, preset: str = "demo", data: str = "DATA") -> list[str]:
    """A plan that nothing is wrong with but `more`; DATA and HERE stand for folders."""
    return ["run", "case", "--preset", PRESETS[preset], "--data", data, "--dry-run", *more]


NUMBERS = ["nan", "inf", "-inf", "-1", "1e30", "1" + "0" * 30, "1e400", "1,5", "abc", "", "0x10", "--", "1_0", " 7 "]
OPTIONS = {
    "--configs": {" 7 ", "1_0"},
    "--steps": {" 7 ", "1_0"},
    "--finals-steps": {" 7 ", "1_0"},
    "--pairs": {" 7 ", "1_0"},
    "--stop-below": set(),
    "--sample-weight": set(),
    "--lr-min": set(),
    "--lr-max": {"1_0", " 7 "},
    "--batch-min": set(),
    "--batch-max": {" 7 ", "1_0"},
    "--seed": {" 7 ", "1_0"},
    "--per-folder": {" 7 ", "1_0"},
    "--vram": {" 7 ", "1_0"},
    "--hours": {" 7 ", "1_0"},
}
"""Options that take a number, and those of NUMBERS that are good ones."""


def numbers() -> Iterator[Case]:
    for option, good in OPTIONS.items():
        for value in NUMBERS:
            if value not in good:
                yield Case(f"{option} {value[:8]}", plan(f"{option}={value}"))
    for value in ("nan", "-1", "1000000000", "abc"):
        yield Case(
            f"workers {value}", ["run", "case", "--preset", PRESETS["demo"], "--data", "DATA", "--workers", value]
        )
        yield Case(f"prove {value}", ["prove", "DONE", "--pairs", value])


FIELDS = {
    "search": ["configs", "steps", "rungs", "reduction", "curated", "stop_below"],
    "finals": ["finalists", "steps", "seeds"],
    "confirmation": ["sample_seeds", "pairs", "alpha", "live_share", "keep_at_least"],
    "judge": ["batch_size", "share", "repeats", "references", "timeout", "concurrency"],
    "score": ["sample_weight"],
    "dataset": ["validation", "prompts", "verdict_prompts", "plain_prompts", "per_folder"],
    "baseline": ["learning_rate", "rank"],
}
BAD = [".nan", ".inf", "-.inf", "-3", "1.0e+300", "[1]", "{a: 1}", "'x'", "9" * 40, "2026-01-01"]


def settings() -> Iterator[Case]:
    """Values of the settings file."""
    for section, names in FIELDS.items():
        for name in names:
            for value in BAD:
                text = f"{section}: {{{name}: {value}}}\n"
                yield Case(f"{section}.{name} {value[:9]}", plan("--settings", "s.yaml"), make=file("s.yaml", text))
    odd = {
        "unknown": "colour: red",
        "unknown below": "search: {colour: red}",
        "unknown knob": "baseline: {colour: 1}",
        "unknown bound": "bounds: {colour: {low: 1}}",
        "sample steps": "sample: {steps: 0}",
        "sample width": "sample: {width: -64}",
        "sample width odd": "sample: {width: 33}",
        "sample guidance": "sample: {guidance: .nan}",
        "sample unknown": "sample: {colour: 1}",
        "fixed output": "fixed: {output_dir: /tmp/x}",
        "fixed unknown": "fixed: {colour: 1}",
        "extra set": "extra_args: ['--set', 'output_dir=/tmp/x']",
        "extra seed": "extra_args: ['--set', 'seed=1']",
        "workers": "workers: 1000000000",
        "bounds crossed": "bounds: {learning_rate: {low: 1, high: 0.1}}",
        "bounds empty": "bounds: {learning_rate: {low: 1.0e-300, high: 1.0e-299}}",
        "bounds zero": "bounds: {learning_rate: {low: 0}}",
        "objectives": "search: {objectives: [beauty]}",
        "objectives unknown": "search: {strategy: nsga2, objectives: [beauty, truth]}",
        "seed": f"seed: {2**64}",
        "seed text": "seed: one",
        "device": "device: tpu:0",
        "device number": "device: cuda:99",
        "judge kind": "judge: {kind: oracle}",
        "judge url": "judge: {kind: openai_api, url: 'file:///etc/passwd', model: m}",
        "judge port": "judge: {kind: openai_api, url: 'http://localhost:99999/v1', model: m}",
        "judge no url": "judge: {kind: openai_api, model: m}",
        "judge weights": "judge: {weights: {likeness: .nan}}",
        "judge weights all 0": "judge: {weights: {likeness: 0, adherence: 0, diversity: 0}}",
        "judge axis": "judge: {weights: {beauty: 1}}",
        "list": "- a",
        "text": "hello",
        "nothing": "",
        "number": "5",
        "tabs": "search:\n\tconfigs: 3",
        "python": "search: !!python/object/apply:os.system [ls]",
        "twice": "seed: {",
        "alias": "a: &a [*a]",
        "laughs": "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{n}: &{n} [{','.join([f'*{p}'] * 9)}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)),
        "deep": "seed: " + "[" * 40_000,
        "deep block": "".join(" " * i + "a:\n" for i in range(1500)),
        "binary": "seed: \x00\x01",
    }
    for name, text in odd.items():
        yield Case(f"settings {name}", plan("--settings", "s.yaml"), make=file("s.yaml", text))
    yield Case("settings latin", plan("--settings", "s.yaml"), make=file("s.yaml", b"seed: \xe9\xff"))
    yield Case("settings large", plan("--settings", "s.yaml"), make=file("s.yaml", b"# " + b"x" * (20 << 20)))
    yield Case("settings pipe", plan("--settings", "s.yaml"), make=pipe("s.yaml"))
    yield Case("settings folder", plan("--settings", "s.yaml"), make=lambda here: (here / "s.yaml").mkdir())
    yield Case("settings missing", plan("--settings", "none.yaml"))
    yield Case("settings device", plan("--settings", "/dev/zero"))


def names() -> Iterator[Case]:
    """Names of sessions; a folder called `mine` with a person's file is always beside."""

    def mine(here: Path) -> None:
        (here / "mine").mkdir()
        (here / "mine" / "dataset.json").write_text("my own")

    bad = [
        *("", " ", ".", "..", "~", "/", "./", "../..", "a/../../b", "a" * 256, "é" * 200, "a\nb", "a\tb", "-x", "--"),
        *(
            "./mine",
            "HERE/mine",
            "HERE/mine/dataset.json",
            "con",
            "NUL.txt",
            "a.",
            "a:b",
            "a\\b",
            "a*",
            "a?",
            '"a"',
            "a|b",
        ),
        *(
            "/dev/null",
            "/proc/self",
            "\x1b[31m",
            "\u202egnp",
            "a<b>",
            "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        ),
    ]
    for name in bad:
        for verb in ("run", "status", "resume"):
            more = ["--preset", PRESETS["demo"], "--data", "DATA", "--dry-run"] if verb == "run" else []
            yield Case(f"{verb} {name[:12]!r}", [verb, name, *more], r"trials|session|steps", mine)
    yield Case("rejudge onto a folder", ["rejudge", "DONE", "./mine"], make=mine)
    yield Case("rejudge onto itself", ["rejudge", "DONE", "DONE"])
    yield Case("grid onto a file", ["grid", "DONE", "--out", "mine/dataset.json"], make=mine)


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", data or zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/tmp/eps-was-run) (w) file closefile\nshowpage\n"
PICTURES: dict[str, bytes] = {
    "empty.png": b"",
    "cut.png": png(64, 64)[:60],
    "bomb.png": png(60_000, 60_000),
    "absurd.png": png(2**31 - 1, 2**31 - 1),
    "zero.png": png(0, 0),
    "tiny.png": png(1, 1),
    "eps.png": EPS,
    "eps.jpg": EPS,
    "page.png": b"<!doctype html><html>not found</html>",
    "text.jpg": b"hello",
    "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "pointer.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    "pdf.webp": b"%PDF-1.4\n",
    "gif.gif": b"GIF89a",
    "raw.dng": b"II*\0" + b"\0" * 64,
    "photo.heic": b"\0\0\0\x18ftypheic",
    "film.mp4": b"\0\0\0\x18ftypisom",
    "half.png.part": b"x",
    "half.crdownload": b"x",
}
CAPTIONS: dict[str, bytes] = {
    "latin": "a café".encode("cp1252"),
    "binary": bytes(range(256)),
    "nul": b"a\0b",
    "large": b"word " * 3_000_000,
    "utf-32": "a cat".encode("utf-32"),
}


def datasets() -> Iterator[Case]:  # noqa: C901  a table
    """Folders of pictures; the demo's are beside where only one file is odd."""

    def with_demo(name: str, data: bytes) -> Callable[[Path], None]:
        def make(here: Path) -> None:
            shutil.copytree(DEMO, here / "d")
            (here / "d" / name).write_bytes(data)

        return make

    def alone(name: str, data: bytes) -> Callable[[Path], None]:
        def make(here: Path) -> None:
            (here / "d").mkdir()
            (here / "d" / name).write_bytes(data)

        return make

    for name, data in PICTURES.items():
        for preset in ("demo", "sd"):
            yield Case(
                f"{preset} dataset with {name}",
                plan(preset=preset, data="d"),
                re.escape(name) + "|unused|left out",
                with_demo(name, data),
            )
        yield Case(f"dataset of {name}", plan(data="d"), make=alone(name, data))
    for name, data in CAPTIONS.items():
        first = "odd.txt"

        def make(here: Path, data: bytes = data, first: str = first) -> None:
            shutil.copytree(DEMO, here / "d")
            picture = next((here / "d").glob("*.png"))
            shutil.copy(picture, here / "d" / "odd.png")
            (here / "d" / first).write_bytes(data)

        yield Case(f"caption {name}", plan(data="d"), r"odd", make)
    odd: dict[str, Callable[[Path], None]] = {
        "missing": lambda here: None,
        "empty": lambda here: (here / "d").mkdir(),
        "a file": file("d", b"x"),
        "a pipe": pipe("d"),
        "a loop": lambda here: (here / "d").symlink_to("d"),
        "a device": lambda here: (here / "d").symlink_to("/dev/zero"),
        "captions only": alone("a.txt", b"a cat"),
    }
    for name, make in odd.items():
        for preset in ("demo", "sd", "musubi"):
            yield Case(f"{preset} dataset is {name}", plan(preset=preset, data="d"), make=make)
    inside: dict[str, Callable[[Path], None]] = {
        "pipe.png": lambda d: os.mkfifo(d / "pipe.png"),
        "zero.png": lambda d: (d / "zero.png").symlink_to("/dev/zero"),
        "loop.png": lambda d: (d / "loop.png").symlink_to("loop.png"),
        "gone.png": lambda d: (d / "gone.png").symlink_to("/nowhere/gone.png"),
        "dir.png": lambda d: (d / "dir.png").mkdir(),
        "sub": lambda d: (d / "sub").symlink_to(d),
    }
    for name, put in inside.items():

        def make_inside(here: Path, put: Callable[[Path], None] = put) -> None:
            shutil.copytree(DEMO, here / "d")
            put(here / "d")

        yield Case(
            f"dataset holds {name}",
            plan(data="d"),
            re.escape(name) + "|unused|left out|folder|link|[0-9]+ pictures",
            make_inside,
        )

    def caption_pipe(here: Path) -> None:
        shutil.copytree(DEMO, here / "d")
        caption = sorted((here / "d").glob("*.txt"))[0]
        caption.unlink()
        os.mkfifo(caption)

    yield Case("caption is a pipe", plan(data="d"), r"caption", caption_pipe)


SD = '[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "DATA"\n'
MUSUBI = '[general]\nresolution = [512, 512]\n[[datasets]]\nimage_directory = "DATA"\n'


def tomls() -> Iterator[Case]:
    """Dataset files of the two kohya trainers."""
    bad_values = {
        "resolution": [
            "0",
            "-512",
            "'x'",
            "[0, 0]",
            "[1]",
            "[1, 2, 3]",
            "1e9",
            "nan",
            "inf",
            "true",
            "{}",
            "10000000000",
        ],
        "batch_size": ["0", "-1", "'x'", "1.5", "100000000000", "true"],
        "num_repeats": ["0", "-1", "'x'", "1.5", "100000000000"],
        "caption_extension": ["1", "[]"],
        "bucket_reso_steps": ["0", "-64", "'x'"],
        "colour": ["1"],
    }
    for kind, text in (("sd", SD), ("musubi", MUSUBI)):
        for key, values in bad_values.items():
            for value in values:
                kept = re.sub(r"resolution = .*\n", "", text) if key == "resolution" else text
                put = kept.replace("[[datasets]]\n", f"[[datasets]]\n{key} = {value}\n", 1)
                if key in ("num_repeats", "caption_extension") and kind == "sd":
                    put = text + f"{key} = {value}\n"
                says = (
                    "colour|recommend|unusual|few|large"
                    if key == "colour"
                    else "resolution|batch"
                    if value in ("1e9", "10000000000")
                    else ""
                )
                yield Case(f"{kind} {key} = {value}", plan(preset=kind, data="d.toml"), says, file("d.toml", put))
        odd = {
            "no folder": re.sub(r'image_\w+ = "DATA"\n', "", text),
            "folder missing": text.replace("DATA", "/nowhere"),
            "folder empty": text.replace("DATA", ""),
            "folder number": text.replace('"DATA"', "7"),
            "backslashes": text.replace("DATA", "C:\\Users\\me"),
            "half": text[: len(text) // 2 + 3],
            "datasets table": text.replace("[[datasets]]", "[datasets]"),
            "empty": "",
            "dots": ".".join("a" * 50_000) + " = 1",
            "deep": "a = " + "[" * 50_000,
            "binary": "\x00",
        }
        for name, put in odd.items():
            yield Case(f"{kind} toml {name}", plan(preset=kind, data="d.toml"), make=file("d.toml", put))
        yield Case(
            f"{kind} toml latin", plan(preset=kind, data="d.toml"), make=file("d.toml", b"# \xe9\xff\n" + text.encode())
        )
        yield Case(f"{kind} toml pipe", plan(preset=kind, data="d.toml"), make=pipe("d.toml"))
    yield Case(
        "toml of the other trainer", plan(preset="demo", data="d.toml"), r"pictures|steps", file("d.toml", MUSUBI)
    )


def prompts() -> Iterator[Case]:
    for name, data in {
        "latin": b"a caf\xe9 \xff",
        "binary": bytes(range(256)),
        "empty": b"",
        "comments": b"# one\n# two\n",
        "flags only": b"--w 512 --h 512\n",
        "flag without value": b"a zorp --w\n",
        "flag nan": b"a zorp --l nan\n",
        "flag unknown": b"a zorp --zz 3\n",
        "size 0": b"a zorp --w 0 --h 0\n",
        "seed huge": b"a zorp --d 99999999999999999999\n",
        "large": b"a zorp\n" * 3_000_000,
    }.items():

        def make(here: Path, data: bytes = data) -> None:
            shutil.copytree(DEMO, here / "d")
            (here / "d" / "prompts.txt").write_bytes(data)

        yield Case(f"prompts {name}", plan(data="d"), r"prompts?\.txt|prompt", make)


def sessions() -> Iterator[Case]:
    """A finished session with one file damaged; what it says of itself must be a sentence or its whole page."""
    files = [
        *("session.yaml", "study.db", "state.json", "dataset.json", "seconds.json", "votes.jsonl", "lock"),
        *("report/certificate.json", "report/verdict.txt", "confirm/plan.json", "trials/search-000/trial.json"),
        *("trials/search-000/exit.json", "trials/search-000/judgements.jsonl"),
        *("trials/search-000/samples/index.jsonl", "trials/search-000/logs/trainer.log"),
    ]
    damages: dict[str, Callable[[Path], None]] = {
        "empty": lambda p: p.write_bytes(b""),
        "noise": lambda p: p.write_bytes(bytes(range(256)) * 40),
        "half": lambda p: p.write_bytes(p.read_bytes()[: p.stat().st_size // 2] if p.exists() else b"{"),
        "list": lambda p: p.write_bytes(b"[1, 2]\n"),
        "deep": lambda p: p.write_bytes(b"[" * 100_000),
        "folder": lambda p: (p.unlink(missing_ok=True), p.mkdir()),
        "pipe": lambda p: (p.unlink(missing_ok=True), os.mkfifo(p)),
    }
    for name in files:
        for kind, damage in damages.items():
            for verb in ("status", "verify") if "certificate" in name else ("status",):

                def make(here: Path, name: str = name, damage: Callable[[Path], None] = damage) -> None:
                    shutil.copytree(DONE, here / "s", symlinks=True)
                    (here / "s" / name).parent.mkdir(parents=True, exist_ok=True)
                    damage(here / "s" / name)

                yield Case(f"{verb} {name} {kind}", [verb, "HERE/s"], r".", make)


def presets_and_rubrics() -> Iterator[Case]:
    whole = (Path(__file__).parents[2] / "presets" / "builtin").glob("*.yaml")
    text = next(iter(sorted(whole))).read_text(encoding="utf-8")
    odd = {
        "empty": "",
        "list": "- 1",
        "unknown key": text + "\ncolour: red\n",
        "extends itself": "extends: mine.yaml\n",
        "extends nothing": "extends: none.yaml\n",
        "nan": text.replace("low:", "low: .nan #", 1),
        "deep": "a: " + "[" * 50_000,
        "binary": "\x00",
        "no yaml": "a: [1",
    }
    for name, put in odd.items():

        def make(here: Path, put: str = put) -> None:
            (here / "presets" / "mine").mkdir(parents=True)
            (here / "presets" / "mine" / "mine.yaml").write_text(put, encoding="utf-8")

        yield Case(f"preset {name}", ["presets", "mine"], make=make, env={"BRACKET_PRESETS": "HERE/presets"})
    for name in ("nothing", "", "../x", "a" * 300, "embeded-demo"):
        yield Case(f"preset called {name[:9]!r}", ["run", "case", "--preset", name, "--data", "DATA", "--dry-run"])
    for name, put in {
        "empty": "",
        "list": "- 1",
        "text": "a",
        "deep": "[" * 9_999,
        "unknown": "colour: 1",
        "axes": "axes: 7",
    }.items():
        asked = plan("--judge", "qwen_vl", "--judge-model", "HERE", "--rubric", "r.yaml")
        yield Case(f"rubric {name}", asked, make=file("r.yaml", put))
    yield Case("rubric pipe", plan("--judge", "qwen_vl", "--rubric", "r.yaml"), make=pipe("r.yaml"))
    for url in (
        "",
        "localhost",
        "ftp://x",
        "http://[",
        "http://localhost:99999/v1",
        "http://user:pw@localhost/v1",
        "javascript:alert(1)",
        "http://\n",
    ):
        yield Case(f"judge url {url[:20]!r}", plan("--judge", "openai_api", "--judge-model", "m", "--judge-url", url))


def header(said: object, length: int | None = None, rest: bytes = b"") -> bytes:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return struct.pack("<Q", len(body) if length is None else length) + body + rest


def weights() -> Iterator[Case]:
    tensor = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    odd = {
        "empty": b"",
        "page": b"<!DOCTYPE html><html></html>",
        "pointer": b"version https://git-lfs.github.com/spec/v1\n",
        "gguf": b"GGUF\3\0\0\0",
        "pickle": b"\x80\x02}q\0.",
        "zip": b"PK\3\4",
        "huge header": header({"a": tensor}, 2**63),
        "deep header": header(b'{"a":' + b"[" * 50_000),
        "million": header({f"t{i}": tensor for i in range(1_000_000)}),
        "shape": header({"a": {**tensor, "shape": [2**62, 2**62]}}, rest=bytes(16)),
        "negative": header({"a": {**tensor, "shape": [-1]}}, rest=bytes(16)),
        "text shape": header({"a": {**tensor, "shape": "x"}}, rest=bytes(16)),
        "offsets": header({"a": {**tensor, "data_offsets": [16, 0]}}, rest=bytes(16)),
        "cut": header({"a": tensor}, rest=bytes(3)),
        "list": header([1]),
        "noise": bytes(range(256)) * 9,
    }
    for name, data in odd.items():
        argv = [
            "run",
            "case",
            "--preset",
            PRESETS["sd"],
            "--data",
            "DATA",
            "--dry-run",
            "--weight",
            "model=w.safetensors",
        ]
        yield Case(f"weights {name}", argv, make=file("w.safetensors", data))
    for name in ("w.safetensors.part", "w.gguf", "w.ckpt.crdownload", "w.aria2", "nothing.safetensors", "/dev/zero"):
        argv = ["run", "case", "--preset", PRESETS["sd"], "--data", "DATA", "--dry-run", "--weight", f"model={name}"]
        yield Case(f"weights called {name}", argv, make=file("w.safetensors.part", b"x"))
    yield Case("weights pipe", [*argv[:-1], "model=w.safetensors"], make=pipe("w.safetensors"))
    yield Case("weights folder", [*argv[:-1], "model=HERE"])
    for entry in ("model", "=x", "colour=x", ""):
        yield Case(f"weight {entry!r}", [*argv[:-1], entry])


def file(name: str, data: str | bytes) -> Callable[[Path], None]:
    def make(here: Path) -> None:
        whole = data if isinstance(data, bytes) else data.replace("DATA", str(DEMO)).encode("utf-8", "surrogatepass")
        (here / name).write_bytes(whole)

    return make


def pipe(name: str) -> Callable[[Path], None]:
    return lambda here: os.mkfifo(here / name)


def answer(case: Case, here: Path) -> tuple[int | None, str, float]:
    """(exit code, None for a hang; what it said; seconds it took)."""
    here.mkdir()
    case.make(here)
    said, began = here / ".said", time.monotonic()
    pid = os.fork()
    if not pid:
        code = 99
        with suppress(BaseException):
            os.chdir(here)
            with said.open("wb") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            put = {"DATA": str(DEMO), "HERE": str(here), "DONE": str(DONE)}
            filled = [re.sub("DATA|HERE|DONE", lambda m: put[m[0]], word) for word in case.argv]
            os.environ |= {"BRACKET_RUNS": str(here / "runs")}
            os.environ |= {k: v.replace("HERE", str(here)) for k, v in (case.env or {}).items()}
            sys.argv = ["bracket", *filled]
            try:
                code = guarded(cli._main)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 1
            except BaseException:  # noqa: BLE001  the edge of the process
                traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    while time.monotonic() - began < SECONDS:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), said.read_text("utf-8", "replace"), time.monotonic() - began
        time.sleep(0.005)
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    return None, said.read_text("utf-8", "replace") if said.exists() else "", SECONDS


def fault(case: Case, code: int | None, said: str) -> str:
    """What is wrong with the answer; "" when nothing is."""
    if code is None:
        return "hang"
    if "Traceback" in said or "did not expect" in said or code < 0 or code == 99:
        return "traceback"
    if code and said.strip():
        return ""
    return "" if case.says and re.search(case.says, said) else "silent"


def cases() -> Iterator[Case]:
    for group in (numbers, settings, names, datasets, tomls, prompts, sessions, presets_and_rubrics, weights):
        yield from group()


def main() -> None:
    global DEMO, DONE
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name holds these words")
    given = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="bracket-inputs-"))
    os.environ |= {"BRACKET_CACHE": str(base / "cache"), "BRACKET_CONFIG": str(base / "config")}
    DEMO, DONE = write_demo_dataset(base / "demo"), done_session(base / "made")
    count, slowest = Counter[str](), ("", 0.0)
    for number, case in enumerate(c for c in cases() if given.only in c.name):
        code, said, seconds = answer(case, base / f"case-{number}")
        found = fault(case, code, said)
        count[found or "right"] += 1
        slowest = max(slowest, (case.name, seconds), key=lambda entry: entry[1])
        if found:
            print(
                f"{found}: {case.name}: {' '.join(case.argv)[:160]!r}\n    {code} {said.strip()[-300:]!r}", flush=True
            )
        shutil.rmtree(base / f"case-{number}", ignore_errors=True)
    shutil.rmtree(base)
    print(f"{count.total()} inputs: {dict(count)}; slowest: {slowest[0]!r} {slowest[1]:.1f} s")
    print(f"{count['right']} passed, {count.total() - count['right']} failed")
    sys.exit(count["right"] != count.total())


DEMO, DONE = Path(), Path()

if __name__ == "__main__":
    main()
