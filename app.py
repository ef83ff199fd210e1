"""Starts the app: `python app.py --help` lists the options."""

from __future__ import annotations

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from bracket.environment import runs_folder
from bracket.errors import BracketError
from bracket.unforeseen import guarded

PORT = 7860
_TRIES = 50
_OWN = ("127.0.0.1", "localhost", "::1")


class StartError(Exception):
    """One sentence on why the app can't start, with the remedy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serves the app until Ctrl-C. Searches that were started go on in their own processes."""
    args = parse(argv)
    try:
        auth = credentials(args.auth, args.host, args.share)
        port = free_port(args.host, args.port)
    except StartError as error:
        print(f"bracket: {error}", file=sys.stderr)
        return 2
    if port != args.port:
        print(f"Port {args.port} is in use; using {port} instead.", flush=True)
    try:
        serve(args, port, auth)
    except BracketError as error:
        print(f"bracket: {error}", file=sys.stderr)
        return 2
    return 0


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.py", description="The bracket app.")
    parser.add_argument("--port", type=int, default=PORT, help="port to listen on (default: %(default)s)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; any but this machine's own needs --auth"
    )
    parser.add_argument("--share", action="store_true", help="also make a public address (needs --auth)")
    parser.add_argument("--auth", default="", metavar="USER:PASSWORD", help="ask for this name and password")
    parser.add_argument("--runs", type=Path, default=runs_folder(), help="folder of sessions (default: %(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    return parser.parse_args(argv)


def credentials(given: str, host: str, share: bool) -> tuple[str, str] | None:
    """The name and password of --auth.

    Raises:
        StartError: it is not of the form user:password, or it is missing where others could reach the app.
    """
    user, colon, password = given.partition(":")
    if given and not (user and colon and password):
        raise StartError("--auth needs a name and a password with a colon between them, such as --auth anna:secret.")
    if not given and host not in _OWN:
        raise StartError(f"--host {host} lets other machines in: add --auth user:password, or leave --host out.")
    if not given and share:
        raise StartError("--share lets everybody in: add --auth user:password.")
    return (user, password) if given else None


def free_port(host: str, wanted: int) -> int:
    """`wanted`, or the next port after it that nobody listens on.

    Raises:
        StartError: the address is not this machine's, the port may not be used, or all of the next ones are taken.
    """
    if not 1 <= wanted <= 65535:
        raise StartError(f"--port {wanted} is no port: choose one from 1024 to 65535.")
    try:
        family, *_, address = socket.getaddrinfo(host, wanted, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise StartError(f"--host {host} is not known: use 127.0.0.1, or this machine's own address.") from None
    for port in range(wanted, min(wanted + _TRIES, 65536)):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address[0], port))
            except PermissionError:
                raise StartError(f"port {port} may not be used by you: choose one from 1024 up with --port.") from None
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise StartError(f"--host {host} is not an address of this machine.") from None
                continue
        return port
    raise StartError(f"ports {wanted} to {wanted + _TRIES - 1} are all in use: choose another with --port.")


def serve(args: argparse.Namespace, port: int, auth: tuple[str, str] | None) -> None:
    """Builds the page and serves it until Ctrl-C."""
    # Gradio asks the network for its version and reports use unless it is told not to before it is imported.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    from starlette.middleware import Middleware

    from bracket.runner.processes import sweep_orphans
    from bracket.ui.context import Files
    from bracket.ui.page import Page
    from bracket.ui.theme import look

    sweep_orphans()
    page = Page(args.runs)
    page.blocks.queue(api_open=False)
    _, url, public = page.blocks.launch(
        server_name=args.host,
        server_port=port,
        share=args.share,
        auth=auth,
        prevent_thread_lock=True,
        quiet=True,
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        show_error=False,
        max_file_size="40mb",
        ssr_mode=False,
        app_kwargs={"middleware": [Middleware(Files, page.context)]},
        inbrowser=not args.no_browser,
        **look(),
    )
    # Gradio reads this list at every request.
    page.blocks.allowed_paths = page.context.served
    print(f"bracket is at {public or url}", flush=True)
    if args.share and not public:
        print(
            "The public address could not be made (no network, or its helper is missing); the one above works.",
            flush=True,
        )
    page.blocks.block_thread()


if __name__ == "__main__":
    sys.exit(guarded(main))
