"""Where a judge's server is, and the key it wants."""

from __future__ import annotations

import ipaddress
import os
import re
from urllib.parse import urlsplit

from bracket.errors import JudgeError

DEFAULT_VARIABLE = "OPENAI_API_KEY"
_HOMES = {
    "OPENAI": ("api.openai.com", "openai.azure.com"),
    "AZURE_OPENAI": ("openai.azure.com", "cognitiveservices.azure.com"),
    "ANTHROPIC": ("api.anthropic.com",),
    "GEMINI": ("googleapis.com",),
    "GOOGLE": ("googleapis.com",),
    "OPENROUTER": ("openrouter.ai",),
    "GROQ": ("api.groq.com",),
    "MISTRAL": ("api.mistral.ai",),
    "TOGETHER": ("together.xyz", "together.ai"),
    "FIREWORKS": ("fireworks.ai",),
    "DEEPINFRA": ("deepinfra.com",),
    "DASHSCOPE": ("aliyuncs.com",),
    "XAI": ("api.x.ai",),
    "NVIDIA": ("nvidia.com",),
    "HF": ("huggingface.co", "hf.space", "huggingface.cloud"),
    "HUGGINGFACE": ("huggingface.co", "hf.space", "huggingface.cloud"),
}
"""Where the keys of well-known services go, by the beginning of their variables' names."""
_OTHERS = re.compile(
    r"SECRET|PRIVATE|ACCESS_KEY|SSH|SIGNING|ENCRYPTION|MASTER"
    r"|^(?:AWS|GITHUB|GH|GITLAB|NPM|PYPI|TWINE|DOCKER|WANDB|COMET|SLACK|STRIPE|KAGGLE|CIVITAI|RUNPOD|VAST|JUPYTER)_"
)
"""Names of keys and tokens that open other things than a judge's server."""


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


def belongs(url: str, variable: str) -> bool:
    """Whether the key in the variable was set up for this very server: by custom, or by a ..._BASE_URL beside it."""
    host = urlsplit(url).hostname or ""
    stem = re.sub(r"_(?:API_KEY|KEY|TOKEN)$", "", variable)
    named = urlsplit(os.environ.get(f"{stem}_BASE_URL", "")).hostname
    return host == named or any(host == home or host.endswith(f".{home}") for home in _HOMES.get(stem, ()))


def find_key(url: str, variable: str) -> str:
    """The key in that environment variable, "" when there is none.

    A well-known service's key goes to that service alone, and nowhere unencrypted, whatever the settings say: they may
    be somebody else's.

    Raises:
        JudgeError: it is no name of a key's variable, is another service's, or holds characters that no key has.
    """
    if variable and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable):
        # Not shown: people put the key itself there.
        raise JudgeError(
            "what is given as the environment variable of the server's key is no name in capitals",
            remedy=f"Put the key into a variable such as {DEFAULT_VARIABLE} and give that name.",
        )
    if variable and (not re.search(r"(?:KEY|TOKEN)$", variable) or _OTHERS.search(variable)):
        raise JudgeError(
            f"the environment variable {variable} holds no key of a judge's server",
            remedy="Put the key into a variable of its own, such as JUDGE_API_KEY, and give that name.",
        )
    at_home = belongs(url, variable)
    if not variable or (variable == DEFAULT_VARIABLE and (url.startswith("http:") or not at_home)):
        return ""
    if re.sub(r"_(?:API_KEY|KEY|TOKEN)$", "", variable) in _HOMES and not at_home:
        raise JudgeError(
            f"the key in {variable} is another service's than {urlsplit(url).hostname}",
            remedy="Give this server's key a variable of its own, such as JUDGE_API_KEY.",
        )
    key = os.environ.get(variable, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise JudgeError(
            f"the environment variable {variable} holds no key: a blank or a foreign character is in it",
            remedy="Set it again.",
        )
    return key
