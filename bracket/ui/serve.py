"""The app as a server: Gradio's page behind the guard, on an address of this machine or by a share link."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from bracket.environment import config_folder, hosted_at, user_cache
from bracket.files import private_folder, sweep_parts
from bracket.ui.guard import LOOPBACK, Guard, Hosts

_DAY = 86400
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Served:
    """How the app is served.

    Attributes:
        hosts: names under which a proxy in front of it is asked for it.
        prefix: the path under which that proxy shows it.
    """

    runs: Path
    host: str
    port: int
    auth: tuple[str, str] | None = None
    share: bool = False
    browser: bool = False
    hosts: Sequence[str] = ()
    prefix: str = ""

    @property
    def url(self) -> str:
        name = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        return f"http://{f'[{name}]' if ':' in name else name}:{self.port}{self.prefix}/"


def serve(served: Served, said: Callable[[str], None]) -> None:
    """Builds the page and serves it until Ctrl-C; `said` is told where it is.

    Raises:
        BracketError: a preset or the folder of sessions can't be read.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    # uvicorn passes the signal on when it has shut down; what was handed in is thrown away before the process ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with _uploads() as uploads:
        # Gradio asks the network for its version and reports use unless it is told not to before it is imported.
        os.environ |= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": str(uploads),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "DO_NOT_TRACK": "1",
        }
        hosts = Hosts(_names(served.host), [*served.hosts, *hosted_at(served.port)])
        _run(served, guarded(served, hosts, uploads), hosts, said)


def guarded(served: Served, hosts: Hosts, uploads: Path) -> Guard:
    """The whole app as one ASGI application."""
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError
    from fastapi.middleware.cors import CORSMiddleware
    from gradio import mount_gradio_app

    from bracket.runner.processes.launched import sweep_orphans
    from bracket.ui.page import Page
    from bracket.ui.shared.header import pulse
    from bracket.ui.shared.theme import early, look

    early()
    sweep_orphans()
    for folder in (served.runs, user_cache(), config_folder()):
        sweep_parts(folder)
    page = Page(served.runs, login=served.auth is not None)
    queue = page.blocks.queue(api_open=False, max_size=500)._queue
    # An empty queue looks for work a thousand times a second unless it is told that ten times do.
    queue.sleep_when_free, queue.progress_update_sleep_when_free = 0.1, 0.5
    page.blocks.delete_cache = (3600, _DAY)
    # No origin is allowed in; that it is there at all keeps Gradio from letting others in.
    app = FastAPI(openapi_url=None)
    app.add_middleware(CORSMiddleware, allow_origins=())
    app.get("/pulse")(pulse(page.context))
    mount_gradio_app(
        app,
        page.blocks,
        "/",
        server_name=served.host,
        server_port=served.port,
        auth=served.auth,
        auth_message="<h1>bracket</h1><p>After a wrong password, wait a moment before the next try.</p>",
        allowed_paths=[str(page.context.runs)],
        root_path=served.prefix,
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        mcp_server=False,
        show_error=False,
        max_file_size="40mb",
        ssr_mode=False,
        pwa=False,
        **look(),
    )
    gradio: Any = app.routes[-1].app  # type: ignore[attr-defined]
    gradio.add_exception_handler(RequestValidationError, _unreadable)
    return Guard(app, gradio, page.context, hosts, uploads=uploads, prefix=served.prefix)


async def _unreadable(_request: Any, _error: Exception) -> Any:
    """What does not fit is not repeated, as FastAPI would: JSON has no word for some of it."""
    from fastapi.responses import PlainTextResponse

    return PlainTextResponse("This request doesn't fit.", status_code=422)


def _run(served: Served, app: Guard, hosts: Hosts, said: Callable[[str], None]) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            # Beside the server: the share link's helper asks the network.
            threading.Thread(target=_announce, args=(served, hosts, said), daemon=True).start()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Pages hold streams open for ever: they are cut off, which is no news.
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            self.force_exit = True
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        host=served.host,
        port=served.port,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
    )
    with contextlib.suppress(KeyboardInterrupt):
        Server(config).run()


def _announce(served: Served, hosts: Hosts, said: Callable[[str], None]) -> None:
    public = _share(served, hosts) if served.share else ""
    said(f"bracket is at {public or served.url}")
    if served.share and not public:
        said("The public address could not be made (no network, or its helper is missing); the one above works.")
    if served.browser:
        webbrowser.open(public or served.url)


def _share(served: Served, hosts: Hosts) -> str:
    """The public address by Gradio's helper, or ""."""
    import secrets
    from urllib.parse import urlsplit

    from gradio.networking import setup_tunnel

    try:
        url = setup_tunnel("127.0.0.1", served.port, secrets.token_urlsafe(32), None, None)
    except Exception as error:  # noqa: BLE001 - a helper of others' that fails in many ways; the app goes on without it
        _log.warning("the share link could not be made: %s", next(iter(str(error).splitlines()), type(error).__name__))
        return ""
    host = urlsplit(url).hostname or ""
    hosts.allowed.append(host)
    return f"https://{host}"


def _names(host: str) -> list[str]:
    """The names and addresses of this machine by which others may ask for the app."""
    if host in LOOPBACK:
        return []
    name = socket.gethostname()
    found = [] if host in ("0.0.0.0", "::") else [host]
    addresses = [a.address.partition("%")[0] for group in psutil.net_if_addrs().values() for a in group]
    return [*found, name, f"{name}.local", name.partition(".")[0], *(addresses if not found else [])]


@contextlib.contextmanager
def _uploads() -> Iterator[Path]:
    """A folder of the user's alone for what the page hands in and Gradio copies; gone when the app ends."""
    parent = user_cache() / "app"
    private_folder(parent)
    for left in parent.iterdir():
        owner = left.name.partition("-")[0]
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{os.getpid()}-", dir=parent, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
