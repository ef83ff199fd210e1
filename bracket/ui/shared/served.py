"""What a browser is told about a session's file: what it really is, and that nothing in it may run.

Trainers wrote these files, or somebody whose session was downloaded: a sample named x.html is a download.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

_KINDS = (
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/gif", 0, b"GIF87a"),
    ("image/gif", 0, b"GIF89a"),
    ("image/bmp", 0, b"BM"),
    ("image/webp", 8, b"WEBP"),
    ("image/avif", 4, b"ftypavif"),
    ("video/mp4", 4, b"ftyp"),
    ("video/webm", 0, b"\x1aE\xdf\xa3"),
)
WEIGHTS = ".safetensors"
"""The one kind of file that is given away of a trial's checkpoints."""
SHUT = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox"
_REPORT = f"{SHUT} allow-popups allow-popups-to-escape-sandbox; img-src data:; style-src 'unsafe-inline'"
"""A report is one page with its pictures inside: no script, and nothing from elsewhere."""


def sniffed(path: Path) -> str:
    """The type of a picture or a clip by its first bytes; "" for whatever is neither."""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return ""
    return next((kind for kind, at, magic in _KINDS if head[at : at + len(magic)] == magic), "")


def _called(path: Path) -> str:
    """A file's own name; of a trial's weights, which are all called alike, the session's and the trial's."""
    trial = next((p for p in path.parents if p.parent.name == "trials"), None)
    if path.suffix != WEIGHTS or trial is None:
        return path.name
    return f"{trial.parent.parent.name}-{trial.name}{WEIGHTS}"


def file_headers(path: Path) -> dict[str, str]:
    """The headers under which a file is served: shown where it is a picture, a clip, a log or bracket's report."""
    kind, policy, shown = sniffed(path), SHUT, True
    if not kind and path.name == "report.html" and path.parent.name == "report":
        kind, policy = "text/html; charset=utf-8", _REPORT
    elif not kind and path.name == "trainer.log" and path.parent.name == "logs":
        kind = "text/plain; charset=utf-8"
    elif not kind:
        kind, shown = "application/octet-stream", False
    name = quote(_called(path), safe="", errors="replace")
    return {
        "content-type": kind,
        "content-disposition": f"{'inline' if shown else 'attachment'}; filename*=UTF-8''{name}",
        "content-security-policy": policy,
        "cache-control": "private, no-cache",
    }
