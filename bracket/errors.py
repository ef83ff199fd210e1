"""Every error bracket raises on purpose.

BracketError                  anything a person can be told in one sentence
├── SettingsError             session.yaml, a form field or a command-line value is wrong
│   └── SettingsChanged       a resume was asked with settings other than the session's own
├── PresetError               a preset file is wrong or missing
├── DatasetError              the pictures or captions can't be used
├── TrainerError              a trainer can't be started or is missing
├── JudgeError                a judge can't be loaded or asked
├── StorageError              a session's folder can't be read or written (full disk, corrupted file)
│   └── StorageBusy           another program has a database locked; asking again later may work
├── SessionBusy               another process already runs this session
└── CertificateError          a certificate doesn't hold what it must

Each carries the path it speaks of and what to do about it, so that the app and the command line can say the same.
"""

from __future__ import annotations

from pathlib import Path


def printable(text: str) -> str:
    """Text that can be written and shown, what is no Unicode (of file names in another encoding) escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def printable_path(path: Path) -> Path:
    text = str(path)
    return path if text.isascii() else Path(printable(text))


class BracketError(Exception):
    """One clear sentence, with the path it is about and the remedy.

    Args:
        message: what is wrong, as a sentence without a final stop.
        path: the file or folder it is about.
        remedy: what the person can do.
        trial: the trial it happened in.
    """

    def __init__(
        self, message: str, *, path: Path | str | None = None, remedy: str = "", trial: str | None = None
    ) -> None:
        self.message, self.remedy, self.trial = printable(message), printable(remedy), trial
        self.path = printable_path(path) if isinstance(path, Path) else path and printable(path)
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f" ({self.path})" if self.path else ""
        trial = f"trial {self.trial}: " if self.trial else ""
        remedy = f" {self.remedy}" if self.remedy else ""
        return f"{trial}{self.message}{where}.{remedy}"


class SettingsError(BracketError):
    """Settings that can't be used as they are."""


class SettingsChanged(SettingsError):
    """A resume with other settings than the session was started with; `diff` lists them line by line. `instead` is a
    sentence on where what they ask can be had after all."""

    def __init__(self, message: str, *, diff: list[str], path: Path | str | None = None, instead: str = "") -> None:
        self.diff = diff
        remedy = f"{instead} Start a new session, or put these back:".strip()
        super().__init__(message, path=path, remedy="\n  ".join([remedy, *diff]))


class PresetError(BracketError):
    """A preset that is missing or wrong."""


class DatasetError(BracketError):
    """Pictures or captions that can't be used."""


class TrainerError(BracketError):
    """A trainer that can't be started."""


class JudgeError(BracketError):
    """A judge that can't be loaded or asked."""


class JudgeUnavailable(JudgeError):
    """A judge that can't be asked now; asking again later may work. Never becomes a score."""


class StorageError(BracketError):
    """A session's folder that can't be read or written."""


class StorageBusy(StorageError):
    """A database that another program has locked."""


class SessionBusy(BracketError):
    """Another process runs this session now."""


class CertificateError(BracketError):
    """A certificate that doesn't hold what it must."""
