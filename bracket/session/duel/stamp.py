"""A time-stamp authority's signature over the plan of a duel (RFC 3161): proof that the plan was there at that time.

The authority is sent the plan's SHA-256, as the certificate has it, and nothing else. Its address is set up on the
machine alone: neither a request nor a session from elsewhere can name one. `openssl ts` makes the request and checks
the token.
"""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bracket.domain import Problem
from bracket.environment import timestamp_ca, timestamp_url
from bracket.errors import StorageError
from bracket.files import read_json, write_bytes
from bracket.report.claims.evidence import hash_of
from bracket.session.duel.plan import PLAN

TOKEN = "confirm/plan.tsr"
"""In a session's folder: the authority's reply."""
_SECONDS = 20
_MOST = 1 << 20
_TYPES = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
_UNKNOWN = re.compile(r"issuer|self[- ]signed|expired|not yet valid|load", re.IGNORECASE)
"""Why a sound signature is not trusted here."""
_DUMPED = re.compile(r"^\s+[0-9a-f]{4} - ((?:[0-9a-f]{2}[ -])+)", re.MULTILINE)


@dataclass(frozen=True)
class Stamped:
    """What a token shows of a plan, in words; "" where there is none. `holds`: it does not contradict the plan."""

    words: str = ""
    holds: bool = True


def problems(asked: bool) -> Iterator[Problem]:
    """What will keep a plan from being stamped."""
    if asked and not _openssl():
        remedy = "Install openssl, or leave the time stamp out."
        yield Problem("warning", "the plan can't be time-stamped: there is no openssl here", remedy)


def missing(folder: Path, asked: bool) -> str:
    """That a plan which was to be stamped has no token, in words; "" where it has, or is not to have one."""
    wanted = asked and (folder / PLAN).exists() and not (folder / TOKEN).exists()
    return "The duel's plan has no time stamp: no authority signed it when it was fixed." if wanted else ""


def stamp(folder: Path) -> str:
    """Have the plan of the session in `folder` signed and keep the token; what kept that from being done, in words."""
    import httpx

    if not _openssl():
        return "there is no openssl here"
    try:
        digest = hash_of(read_json(folder / PLAN))
        with TemporaryDirectory(prefix="bracket-") as place:
            request = Path(place) / "plan.tsq"
            made = _run("-query", "-digest", digest, "-sha256", "-cert", "-out", str(request))
            if made.returncode:
                return f"openssl made no request: {_reason(made)}"
            reply = _post(request.read_bytes())
        write_bytes(folder / TOKEN, reply)
        found = check(folder, digest)
        if not found.holds:
            (folder / TOKEN).unlink()
            return found.words
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, OSError, subprocess.TimeoutExpired, StorageError) as error:
        return f"{timestamp_url()} gave no token: {error or type(error).__name__}"
    return ""


def check(folder: Path, digest: str) -> Stamped:
    """What the token in a session's folder shows of a plan with this SHA-256."""
    token = folder / TOKEN
    if not token.is_file():
        return Stamped()
    if not _openssl():
        return Stamped(f"There is a time stamp in {TOKEN}, and no openssl here to check it.")
    try:
        text = _run("-reply", "-in", str(token), "-text").stdout
        trusted = _run("-verify", "-digest", digest, "-in", str(token), *_roots())
    except (subprocess.TimeoutExpired, OSError) as error:
        return Stamped(f"The time stamp in {TOKEN} could not be checked: {error}")
    dumped = "".join(_DUMPED.findall(text.partition("Message data:")[2].partition("Serial number")[0]))
    if re.sub(r"[ -]", "", dumped) != digest:
        return Stamped(f"{TOKEN} is no time stamp of this plan.", holds=False)
    when, who = _named("Time stamp", text), _named("TSA", text)
    said = f"{who or 'An authority without a name'} signed at {when} that the plan was there"
    if trusted.returncode == 0:
        return Stamped(f"{said}.")
    if _UNKNOWN.search(why := _reason(trusted)):
        own = "name its root certificate in BRACKET_TIMESTAMP_CA"
        return Stamped(f"{said}, by its own word: this machine does not trust the signature ({why}); {own}.")
    return Stamped(f"The signature in {TOKEN} does not hold: {why}.", holds=False)


def _post(request: bytes) -> bytes:
    """The authority's reply.

    Raises:
        httpx.HTTPError, httpx.InvalidURL, ValueError: there is none.
    """
    import httpx

    reply, size = [], 0
    with httpx.stream("POST", timestamp_url(), content=request, headers=_TYPES, timeout=_SECONDS) as answer:
        answer.raise_for_status()
        for part in answer.iter_bytes():
            reply.append(part)
            size += len(part)
            if size > _MOST:
                raise ValueError("its answer is too long for a token")
    return b"".join(reply)


def _openssl() -> str:
    return shutil.which("openssl") or ""


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [_openssl(), "ts", *words]
    return subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False)


def _roots() -> tuple[str, ...]:
    """The roots that a signature may rest on: those set up for it, else the system's."""
    if own := timestamp_ca():
        return "-CAfile", own
    paths = ssl.get_default_verify_paths()
    found = [word for name, at in (("-CAfile", paths.cafile), ("-CApath", paths.capath)) if at for word in (name, at)]
    return tuple(found)


def _reason(run: subprocess.CompletedProcess[str]) -> str:
    """The last thing that openssl complains of."""
    said = [line for line in run.stderr.splitlines() if "error:" in line] or run.stderr.splitlines() or ["no word"]
    return re.sub(r"^.*?error:[0-9A-F]+:", "", said[-1]).strip(" :")


def _named(name: str, text: str) -> str:
    found = re.search(rf"^{name}: (.+)$", text, re.MULTILINE)
    return re.sub(r"^DirName:/?", "", found[1].strip()) if found and found[1].strip() != "unspecified" else ""
