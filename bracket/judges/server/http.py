"""One HTTP server that speaks JSON: asked patiently, and left alone for a while when it is down.

Tried again, with growing pauses: dropped connections, time-outs, half answers, answers that are no JSON or not what was
asked for, and the statuses 408, 409, 425, 429 (heeding Retry-After) and 5xx. Every other refusal is told at once, in
the server's own words. Redirects are never followed, so that a key reaches no other host, and certificates are checked.
"""

from __future__ import annotations

import email.utils
import html
import json
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from bracket.errors import JudgeError, JudgeUnavailable
from bracket.judges.server.addresses import DEFAULT_VARIABLE, is_local

if TYPE_CHECKING:
    import httpx

Result = TypeVar("Result")

MAX_BYTES = 16 * 2**20
"""A longer answer is cut off and counts as garbage."""
_WORDS = 300
"""Characters of a server's own words that a message quotes."""
_AGAIN = {408, 409, 425, 429}
_NO_PICTURES = re.compile(
    r"(image|vision|multimodal|mmproj).{0,40}\b(not (currently )?supported|unsupported|only supported by certain)"
    r"|(n.t|not|no) (currently )?support\w* .{0,20}(image|vision|multimodal|picture)"
    r"|not a multimodal|missing data required for image|no endpoints found that support image",
    re.IGNORECASE | re.DOTALL,
)
"""How servers say that a model takes no pictures, some with a status that says to ask again."""


@dataclass(frozen=True)
class Patience:
    """How long a server is borne with.

    Attributes:
        tries: how often one question is sent before it is given up.
        first_wait: seconds before the second try; doubled for every further one, give or take half.
        longest_wait: seconds at most between two tries; a server that asks for more is left alone that long.
        failures: so many failed tries in a row open the circuit breaker.
        rest: seconds for which an open breaker refuses.
    """

    tries: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    failures: int = 8
    rest: float = 60.0


class Garbage(Exception):
    """An answer that is not what was asked for, in words; asking again may help."""


class Rejected(JudgeError):
    """The server refused a request, and would again.

    Attributes:
        status: of the answer.
        words: what the server said, whole; `code` and `param` as it named them, or "".
    """

    def __init__(self, status: int, words: str, remedy: str, code: str = "", param: str = "") -> None:
        self.status, self.words, self.code, self.param = status, words, code, param
        said = f": {cut(words)}" if words.strip() else ""
        super().__init__(f"the judge's server refuses ({status}){said}", remedy=remedy)

    @property
    def about_pictures(self) -> bool:
        """Whether it says that the model takes no pictures."""
        return bool(_NO_PICTURES.search(self.words))


class _Again(Exception):
    """A try that failed; `wait` is what the server asked for in seconds, `busy` when it is well but has too much."""

    def __init__(self, words: str, wait: float | None = None, busy: bool = False) -> None:
        self.words, self.wait, self.busy = words, wait, busy
        super().__init__(words)


class Breaker:
    """Refuses at once after so many failures in a row. After a rest all may try again, until the next failure."""

    def __init__(self, failures: int, rest: float) -> None:
        self._limit, self._rest = failures, rest
        self._failures, self._until = 0, 0.0
        self._lock = threading.Lock()

    def closed_for(self) -> float:
        """Seconds for which nothing may be asked; 0 lets the caller through."""
        with self._lock:
            return max(0.0, self._until - time.monotonic()) if self._failures >= self._limit else 0.0

    def succeeded(self) -> None:
        with self._lock:
            self._failures = 0

    def failed(self) -> None:
        with self._lock:
            self._failures += 1
            self._until = time.monotonic() + self._rest

    def hold(self, seconds: float) -> None:
        """Open for so long, because the server asked for it."""
        with self._lock:
            self._failures, self._until = self._limit, time.monotonic() + seconds


class Server:
    """A server at one address. Calls may come from several threads.

    Args:
        url: its address without a final slash, see `address`.
        key: sent as a bearer token unless empty; appears in no error, log or answer.
        variable: the environment variable the key is from, for remedies.
        timeout: seconds for a whole answer.
        concurrency: connections at once.
    """

    def __init__(
        self, url: str, key: str, *, variable: str, timeout: float, concurrency: int, patience: Patience
    ) -> None:
        self.url = url
        self._key, self._variable, self._timeout, self._concurrency = key, variable, timeout, concurrency
        self._patience = patience
        self._breaker = Breaker(patience.failures, patience.rest)
        self._http: httpx.Client | None = None
        self._lock = threading.Lock()
        self._closing = threading.Event()

    def ask(self, path: str, body: Mapping[str, Any] | None, read: Callable[[Mapping[str, Any]], Result]) -> Result:
        """What `read` makes of the answer: to a GET without a body, to a POST with one.

        Args:
            read: raises Garbage when the answer is not what was asked for.

        Raises:
            Rejected: the server refuses for good.
            JudgeUnavailable: it can't be reached or gives no sense, however often it is asked; or not at the moment.
        """
        # ASCII, so that lone surrogates and control characters pass as data.
        data = None if body is None else json.dumps(body).encode()
        words = ""
        for attempt in range(self._patience.tries):
            left = self._breaker.closed_for()
            if left:
                raise self._unavailable(words or "it failed several times in a row", left)
            try:
                result = read(self._once(path, data))
            except (_Again, Garbage) as again:
                words = str(again)
                wait = self._after(again, attempt)
            except Rejected:
                self._breaker.succeeded()
                raise
            else:
                self._breaker.succeeded()
                return result
            if attempt + 1 < self._patience.tries and self._closing.wait(wait):
                break
        raise self._unavailable(words)

    def close(self) -> None:
        """Wakes those who wait, and lets go of the connections."""
        self._closing.set()
        with self._lock:
            if self._http is not None:
                self._http.close()

    def _after(self, failure: Exception, attempt: int) -> float:
        """Seconds to wait after a failure, which the breaker is told of."""
        asked = failure.wait if isinstance(failure, _Again) else None
        if asked is not None and asked > self._patience.longest_wait:
            self._breaker.hold(asked)
            raise self._unavailable(str(failure), asked) from failure
        if isinstance(failure, _Again) and failure.busy:
            self._breaker.succeeded()
        else:
            self._breaker.failed()
        grown = self._patience.first_wait * 2.0**attempt * random.uniform(0.5, 1.5)
        return min(max(grown, asked or 0.0), self._patience.longest_wait)

    def _unavailable(self, words: str, seconds: float = 0.0) -> JudgeUnavailable:
        when = f"in {seconds:.0f} s" if seconds >= 1 else "later"
        return JudgeUnavailable(
            f"the judge's server at {self.url} can't be asked now: {cut(words)}",
            remedy=f"See that it runs; it is asked again {when}.",
        )

    def _once(self, path: str, data: bytes | None) -> Mapping[str, Any]:
        import httpx

        try:
            with self._connection().stream("GET" if data is None else "POST", self.url + path, content=data) as reply:
                body = self._body(reply)
        except httpx.TimeoutException as error:
            raise _Again(f"no answer within {self._timeout:g} s") from error
        except httpx.RequestError as error:
            raise _Again(self._hidden(str(error) or type(error).__name__)) from error
        except RuntimeError as error:
            # What httpx raises once it is closed.
            raise self._unavailable("the judge was closed") from error
        if not reply.is_success:
            raise self._failure(reply.status_code, body, reply.headers.get("retry-after", ""))
        found = _parsed(body)
        if not isinstance(found, dict):
            raise Garbage(f"its answer is no JSON object: {cut(_words(body)) or 'nothing'}")
        if found.get("error"):
            code = found["error"].get("code") if isinstance(found["error"], dict) else None
            raise self._failure(code if isinstance(code, int) and code >= 400 else 500, body, "")
        return found

    def _connection(self) -> httpx.Client:
        """Made at first use. A proxy of the environment is not asked for this machine's own servers."""
        import httpx

        with self._lock:
            if self._http is None:
                headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "bracket"}
                if self._key:
                    headers["Authorization"] = f"Bearer {self._key}"
                try:
                    self._http = httpx.Client(
                        headers=headers,
                        timeout=httpx.Timeout(self._timeout, connect=min(self._timeout, 10.0)),
                        limits=httpx.Limits(max_connections=self._concurrency),
                        trust_env=not is_local(self.url),
                        follow_redirects=False,
                    )
                except (ValueError, ImportError, httpx.InvalidURL) as error:
                    raise JudgeError(
                        f"the proxy that the environment names can't be used: {cut(str(error))}",
                        remedy="Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or name the server in NO_PROXY.",
                    ) from error
            return self._http

    def _body(self, reply: httpx.Response) -> bytes:
        """The answer without the key, should the server repeat it."""
        # httpx counts the silence between two bytes; one that drips for ever is stopped here.
        end, parts, size = time.monotonic() + self._timeout, [], 0
        for part in reply.iter_bytes():
            parts.append(part)
            size += len(part)
            if time.monotonic() > end:
                raise _Again(f"no whole answer within {self._timeout:g} s")
            if size > MAX_BYTES:
                raise _Again(f"its answer is longer than {MAX_BYTES // 2**20} MiB")
        whole = b"".join(parts)
        return whole.replace(self._key.encode(), b"[key]") if self._key else whole

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    def _failure(self, status: int, body: bytes, retry_after: str) -> Exception:
        words, code, param = _complaint(body)
        words = self._hidden(words)
        refusal = Rejected(status, words, self._remedy(status), code, param)
        if refusal.about_pictures and not 300 <= status < 400:
            return refusal
        if status in _AGAIN or status >= 500:
            return _Again(f"{status} {words}", _seconds(retry_after), busy=status == 429)
        return refusal

    def _remedy(self, status: int) -> str:
        if status in (401, 403):
            return f"Check the key in the environment variable {self._variable or DEFAULT_VARIABLE}."
        if status == 404:
            return "Check the server's address (it mostly ends in /v1) and the model's name."
        if 300 <= status < 400:
            return "It points elsewhere, which is not followed: give the address it points to."
        return "Check the address, the model and what the server says of them."


def cut(text: str) -> str:
    """At most `_WORDS` characters on one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _WORDS else line[: _WORDS - 1] + "…"


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _words(body: bytes) -> str:
    """What a person would read in an answer that is no JSON: HTML without its tags."""
    text = body[:20_000].decode("utf-8", "replace")
    if "<" in text:
        text = html.unescape(re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE))
    return text


def _complaint(body: bytes) -> tuple[str, str, str]:
    """(message, code, parameter) of an error, by the customs of the common servers."""
    found = _parsed(body)
    if not isinstance(found, dict):
        return _words(body), "", ""
    error = found.get("error") or found.get("detail") or found.get("message") or found
    if isinstance(error, list):
        # FastAPI's list of what is wrong where; what was sent stands beside and is left out.
        faults = [f"{e.get('loc', '')}: {e.get('msg', '')}" for e in error if isinstance(e, dict)]
        return "; ".join(faults), "", ""
    if not isinstance(error, dict):
        return str(error), "", ""
    message = error.get("message") or json.dumps(error)
    return str(message), str(error.get("code") or ""), str(error.get("param") or "")


def _seconds(retry_after: str) -> float | None:
    """Of a Retry-After header: a number of seconds, or a date (RFC 9110, 10.2.3)."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
