"""Where a judge's server is, and the key it wants."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from bracket.errors import JudgeError

DEFAULT_VARIABLE = "OPENAI_API_KEY"


def address(url: str) -> str:
    """The address without a final slash; `/v1` is added where it names a host alone.

    Raises:
        JudgeError: it is empty, not http(s), or holds a password, a query or a fragment.
    """
    text = url.strip().rstrip("/").removesuffix("/chat/completions")
    if not text:
        raise JudgeError("the judge's server has no address", remedy="Give one such as http://localhost:1234/v1.")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise JudgeError("the address of the judge's server can't be read", remedy="Check its port.") from error
    if "@" in parts.netloc:
        raise JudgeError(
            "the address of the judge's server holds a name or a password",
            remedy="Leave it out, and give the key in an environment variable.",
        )
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f]", text):
        raise JudgeError(
            f"{text[:200]!r} is no address of a server", remedy="It begins with http:// or https:// and a host."
        )
    if parts.query or parts.fragment:
        raise JudgeError(
            "the address of the judge's server goes on after a ? or #", remedy="Give only what comes before."
        )
    return text if parts.path else f"{text}/v1"


def is_local(url: str) -> bool:
    """Whether the address is this machine's own."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def find_key(url: str, variable: str) -> str:
    """The key in that environment variable, "" when there is none.

    Over plain http only a key is sent whose variable was chosen for this server: OpenAI's own goes nowhere unencrypted.

    Raises:
        JudgeError: it is no name of a variable, or holds characters that no key has.
    """
    if variable and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable):
        # Not shown: people put the key itself there.
        raise JudgeError(
            "what is given as the environment variable of the server's key is no name in capitals",
            remedy=f"Put the key into a variable such as {DEFAULT_VARIABLE} and give that name.",
        )
    if not variable or (url.startswith("http:") and variable == DEFAULT_VARIABLE):
        return ""
    key = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise JudgeError(
            f"the environment variable {variable} holds no key: a blank or a foreign character is in it",
            remedy="Set it again.",
        )
    return key
