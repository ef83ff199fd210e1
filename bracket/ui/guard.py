"""Who may ask the app for what: every request is held to its Host, its Origin and its address before Gradio sees it.

A page elsewhere can make a browser send requests to this machine, also under a name of its own that it lets point here
(DNS rebinding); so a request must name a host the app was started for, and come from the app's own page. Only what that
page needs is there at all, and answers carry headers that keep a page from being framed, a file from being run and what
is shown from calling elsewhere.
"""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from fnmatch import fnmatchcase
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bracket.ui.shared.context import HERE, Context
from bracket.ui.shared.served import SHUT, file_headers
from bracket.unforeseen import kept

_log = logging.getLogger(__name__)
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
BODY, UPLOAD = 8_000_000, 48_000_000
"""Bytes that a request may hold, and one with pictures."""
UPLOADS, UPLOADED = 500, 1_000_000_000
"""Files, and bytes, that may lie in the folder of uploads."""
_API = "/gradio_api"
_OPEN = re.compile(
    r"/|/(?:login|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?|/(?:assets|static|svelte)/.+"
    rf"|{_API}/theme\.css"
)
"""What is there for everybody: the page's own files, and where one logs in."""
_LOGGED_IN = re.compile(
    rf"/pulse|/(?:logout|config)/?|{_API}/(?:(?:file=|heartbeat/|run/).+"
    r"|(?:queue/join|queue/data|queue/status|upload|upload_progress|component_server|cancel|reset|info|user|app_id"
    r"|login_check)/?)"
)
_STATIC = re.compile(r"/(?:assets|static|svelte)/")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_PAGE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
"""Gradio's page holds scripts of its own in its text, and makes functions of strings."""
_OF_FILES = (b"content-length", b"content-range", b"accept-ranges", b"etag", b"last-modified")
_ALWAYS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Refused(Exception):
    """A request is not answered; `status` and one sentence."""

    def __init__(self, status: int, words: str, wait: int = 0) -> None:
        super().__init__(words)
        self.status, self.wait = status, wait


class Hosts:
    """The names under which the app may be asked for.

    Args:
        own: names and addresses of this machine that the app was started for.
        allowed: patterns of further hosts (`*.proxy.runpod.net`), by which a proxy is reached.
    """

    def __init__(self, own: Iterable[str] = (), allowed: Iterable[str] = ()) -> None:
        self._own = LOOPBACK | {name.lower() for name in own}
        self.allowed = [pattern.lower() for pattern in allowed]

    def knows(self, netloc: str) -> bool:
        host = hostname(netloc)
        return host in self._own or self.lets_in(host)

    def lets_in(self, host: str) -> bool:
        """Whether the host is one of a proxy or a share link."""
        return bool(host) and any(fnmatchcase(host, pattern) for pattern in self.allowed)


class Slower:
    """What lets a password be guessed only slowly: after failures, the next try waits, by address and for all."""

    _FREE, _FREE_ALL, _LONGEST, _FORGOTTEN = 3, 30, 300.0, 3600.0

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, tuple[int, float]] = {}

    def wait(self, address: str) -> float:
        """Seconds until this address may try again."""
        now = self._clock()
        self._failed = {a: f for a, f in self._failed.items() if now - f[1] < self._FORGOTTEN}
        mine, every = self._failed.get(address, (0, now)), self._failed.get("", (0, now))
        until = [mine[1] + min(self._LONGEST, 2.0 ** (mine[0] - self._FREE))] if mine[0] >= self._FREE else []
        if every[0] >= self._FREE_ALL:
            until.append(every[1] + 1.0)
        return max([0.0, *(moment - now for moment in until)])

    def failed(self, address: str) -> int:
        """Take a wrong password down; gives how many there were from this address."""
        for who in (address, ""):
            self._failed[who] = (self._failed.get(who, (0, 0.0))[0] + 1, self._clock())
        return self._failed[address][0]

    def succeeded(self, address: str) -> None:
        self._failed.pop(address, None)


class Guard:
    """ASGI: stands before the whole app.

    Args:
        gradio: Gradio's app, whose `tokens` are those of who is logged in.
        uploads: the folder that Gradio puts uploads into.
        prefix: the path under which a proxy shows the app.
    """

    def __init__(
        self, app: Any, gradio: Any, context: Context, hosts: Hosts, *, uploads: Path, prefix: str = ""
    ) -> None:
        self._app, self._gradio, self._context, self._hosts = app, gradio, context, hosts
        self._uploads, self._prefix = uploads, prefix.rstrip("/")
        self._slower = Slower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            asked = Asked(scope, self._hosts, self._prefix)
            answer = await self._admitted(asked, scope, receive, send)
        except Refused as refused:
            await _refuse(refused, scope, send)
            return
        try:
            await self._app(scope, *answer)
        except Exception as error:  # noqa: BLE001  the edge of the server: the answer is a plain 500 already
            _log.error("%s", kept(error))

    async def _admitted(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """The request's own channels, wrapped; or raises Refused."""
        if scope["type"] != "http":
            raise Refused(404, "There is nothing here.")
        path = asked.path
        open_to_all, members = bool(_OPEN.fullmatch(path)), bool(_LOGGED_IN.fullmatch(path))
        if not (open_to_all or members) or scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(404, "There is nothing here.")
        if members and self._gradio.auth is not None and not self._token(asked.headers.get("cookie", "")):
            raise Refused(401, "Log in first.")
        extra = {"content-security-policy": _PAGE, "cache-control": "" if _STATIC.match(path) else "no-store"}
        if path.startswith(f"{_API}/file="):
            extra = file_headers(self._file(path.removeprefix(f"{_API}/file=")))
        limit = UPLOAD if path.startswith(f"{_API}/upload") else BODY
        if limit == UPLOAD and scope["method"] == "POST":
            self._room()
        login = path.rstrip("/") == "/login" and scope["method"] == "POST"
        if login and (wait := self._slower.wait(asked.address)) > 0:
            _log.warning("login from %s refused for %.0f s more after wrong passwords", asked.address, wait)
            raise Refused(429, f"Too many wrong passwords. Wait {wait:.0f} s, then try again.", int(wait) + 1)
        told = self._told(asked, login=login)
        return _capped(receive, asked.headers, limit), _marked(send, extra, told, secure=asked.secure)

    def _token(self, cookies: str) -> bool:
        try:
            jar = SimpleCookie(cookies)
        except CookieError:
            return False
        return any(jar[n].value in self._gradio.tokens for n in jar if n.startswith("access-token-"))

    def _file(self, given: str) -> Path:
        """The file that is asked for, where it is one of a session's or of Gradio's own copies."""
        file = self._context.openable(given) or _inside(given, self._uploads)
        if file is None:
            raise Refused(403, "This file is none that the app shows.")
        return file

    def _room(self) -> None:
        files = [f.stat().st_size for f in self._uploads.rglob("*") if f.is_file()] if self._uploads.is_dir() else []
        if len(files) >= UPLOADS or sum(files) >= UPLOADED:
            raise Refused(507, "Too many pictures were handed in. They are thrown away a day later, or with the app.")

    def _told(self, asked: Asked, *, login: bool) -> Callable[[int], None]:
        """What to do about the answer's status."""

        def told(status: int) -> None:
            if login and status == 200:
                self._slower.succeeded(asked.address)
                _log.info("login from %s", asked.address)
            elif login and status in (400, 401):
                count = self._slower.failed(asked.address)
                _log.warning("wrong password from %s (%d so far)", asked.address, count)

        return told


class Asked:
    """One request as its headers tell it, once its Host and Origin were found to be right; changes the scope to match.

    Attributes:
        path: without the proxy's prefix.
        address: whose failed logins are counted together.
        secure: it came over https, to the app or to the proxy before it.

    Raises:
        Refused: another site's page sent it, or it was sent under a name that isn't the app's.
    """

    def __init__(self, scope: Scope, hosts: Hosts, prefix: str) -> None:
        pairs = [(k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in scope["headers"]]
        self.headers: dict[str, str] = dict(pairs)
        self._check_host(pairs, hosts)
        self.path = self._without_prefix(scope, prefix)
        self._check_origin(scope, hosts)
        if re.search(r"[\x00-\x1f\x7f]", scope["path"]):
            raise Refused(400, "This address can't be read.")
        client = (scope.get("client") or ("", 0))[0]
        forwarded = self.headers.get("x-forwarded-for", "").split(",")[-1].strip()
        self.address = forwarded or client if is_loopback(client) else client
        self.secure = scope.get("scheme") == "https" or self._first("x-forwarded-proto") == "https"
        # Gradio would take the first for its own address; the second is ours to say.
        scope["headers"] = [(k, v) for k, v in scope["headers"] if k.lower() not in (b"x-gradio-server", HERE.encode())]
        # Where a proxy is expected, nobody counts as here: what comes through it looks the same.
        proxied = any(name == "forwarded" or name.startswith("x-forwarded-") for name, _ in pairs)
        if is_loopback(client) and hostname(self.headers["host"]) in LOOPBACK and not (proxied or hosts.allowed):
            scope["headers"].append((HERE.encode(), b"1"))

    def _first(self, name: str) -> str:
        return self.headers.get(name, "").split(",")[0].strip()

    def _check_host(self, pairs: list[tuple[str, str]], hosts: Hosts) -> None:
        named = [v for k, v in pairs if k == "host"]
        if len(named) != 1 or not hosts.knows(named[0]):
            wrong = hostname(named[0]) if len(named) == 1 else ""
            raise Refused(403, f"This app doesn't answer to the name {wrong[:100]!r}: start it with --allow-host NAME.")
        for shown in [v.split(",")[0].strip() for k, v in pairs if k == "x-forwarded-host"]:
            if shown and not hosts.knows(shown):
                wrong = hostname(shown)[:100]
                raise Refused(403, f"This app isn't shown as {wrong!r}: start it with --allow-host NAME.")

    def _check_origin(self, scope: Scope, hosts: Hosts) -> None:
        origin, site = self.headers.get("origin"), self.headers.get("sec-fetch-site", "none")
        if origin is not None:
            parts = _split(origin)
            mine = {_plain(self.headers["host"]), _plain(self._first("x-forwarded-host"))} - {""}
            if parts is None or not (_plain(parts.netloc) in mine or hosts.lets_in(hostname(parts.netloc))):
                raise Refused(403, "Another site's page sent this.")
        # The app's page may be opened by a link; nothing else is another site's business.
        opened = self.path == "/" and scope["type"] == "http" and scope["method"] == "GET"
        opened = opened and self.headers.get("sec-fetch-mode") == "navigate"
        opened = opened and self.headers.get("sec-fetch-dest") == "document"
        if site not in ("none", "same-origin") and not opened:
            raise Refused(403, "Another site's page sent this.")

    def _without_prefix(self, scope: Scope, prefix: str) -> str:
        """The path as Gradio knows it; where the proxy names its prefix, the page is told."""
        path = str(scope["path"])
        named = self._first("x-forwarded-prefix").rstrip("/")
        prefix = prefix or (named if _PREFIX.fullmatch(named) else "")
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            path = path.removeprefix(prefix) or "/"
        scope["path"] = path
        scope["raw_path"] = path.encode("utf-8", "surrogatepass")
        scope["root_path"] = prefix
        return path


def hostname(netloc: str) -> str:
    """The host of `host:port`, in small letters, an IPv6 address without its brackets; "" where there is none."""
    try:
        parts = urlsplit(f"//{netloc.strip()}")
        host = (parts.hostname or "").removesuffix(".")
        _ = parts.port
    except ValueError:
        return ""
    return "" if "@" in netloc or parts.path or re.search(r"[^\w.:%-]", host) else host


def is_loopback(address: str) -> bool:
    """Whether a client's address is this machine's own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return bool((mapped or found).is_loopback)


def _plain(netloc: str) -> str:
    """`host:port` to compare: in small letters, without the port that goes without saying."""
    return re.sub(r":(?:80|443)$", "", netloc.strip().lower())


def _split(origin: str) -> Any:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts if parts.scheme in ("http", "https") and parts.netloc and not parts.path else None


def _inside(given: str, folder: Path) -> Path | None:
    """The file, where it is a real one of the folder and no link leads out of it."""
    try:
        file = Path(given).resolve(strict=True)
        return file if file.is_relative_to(folder.resolve()) and file.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _capped(receive: Receive, headers: MutableMapping[str, str], limit: int) -> Receive:
    """A request's body up to the limit; beyond it, it is refused or broken off."""
    said = headers.get("content-length", "0")
    if not said.isascii() or not said.isdigit() or int(said[:20]) > limit:
        raise Refused(413, f"A request may hold {limit // 1_000_000} MB.")
    got = 0

    async def capped() -> MutableMapping[str, Any]:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        return {"type": "http.disconnect"} if got > limit else message

    return capped


def _marked(send: Send, extra: MutableMapping[str, str], told: Callable[[int], None], *, secure: bool) -> Send:
    """Answers with the headers that keep them where they belong."""
    dropped = {b"server", *(name.encode() for name in (*extra, *_ALWAYS) if extra.get(name) != "")}

    async def marked(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            told(message["status"])
            sent = [(k.lower(), v) for k, v in message["headers"] if not k.lower().startswith(b"access-control-")]
            sent = [(k, _cookie(v, secure=secure) if k == b"set-cookie" else v) for k, v in sent if k not in dropped]
            added = {**_ALWAYS, **extra}
            if "content-disposition" in extra:  # Gradio repeats what it was asked with
                sent = [(k, v) for k, v in sent if k in _OF_FILES]
            message["headers"] = [*sent, *((k.encode(), v.encode("latin-1")) for k, v in added.items() if v)]
        await send(message)

    return marked


def _cookie(value: bytes, *, secure: bool) -> bytes:
    """A cookie that no script reads and no other site's page sends; over https, also none that is sent without."""
    first, *rest = [part.strip() for part in value.decode("latin-1").split(";")]
    marks = [part for part in rest if part.lower().partition("=")[0] not in ("samesite", "httponly")]
    if secure and "secure" not in [part.lower() for part in marks]:
        marks.append("Secure")
    return "; ".join([first, *marks, "HttpOnly", "SameSite=Strict"]).encode("latin-1")


async def _refuse(refused: Refused, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    body = b"" if scope["method"] == "HEAD" else f"{refused}\n".encode()
    headers = {**_ALWAYS, "content-type": "text/plain; charset=utf-8", "cache-control": "no-store"}
    headers |= {
        "content-length": str(len(body)),
        "content-security-policy": SHUT,
    }
    if refused.wait:
        headers["retry-after"] = str(refused.wait)
    start = {"status": refused.status, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": body})
