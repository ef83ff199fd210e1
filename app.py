"""Starts the app: `python app.py --help` lists the options."""

from __future__ import annotations

import argparse
import errno
import functools
import os
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from bracket.environment import app_password, drop_unusable_proxies, no_proxy_for_loopback, runs_folder
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
    # A log that names the command doesn't name the password.
    sys.argv = [word.replace(args.auth, "…") if args.auth else word for word in sys.argv]
    no_proxy_for_loopback()
    if dropped := drop_unusable_proxies():
        words = "is no address of a proxy (http://host:port or socks5://host:port): left out here"
        print(f"bracket: {', '.join(dropped)} {words}.", file=sys.stderr)
    try:
        auth = credentials(password(args.auth, args.auth_file), args.host, args.share)
        prefix = root_path(args.root_path)
        port = free_port(args.host, args.port)
    except StartError as error:
        print(f"bracket: {error}", file=sys.stderr)
        return 2
    if port != args.port:
        print(f"Port {args.port} is in use; using {port} instead.", flush=True)
    if args.auth:
        print(
            "bracket: --auth can be read in the list of processes; --auth-file FILE or BRACKET_AUTH can't.",
            file=sys.stderr,
        )
    if args.allow_host and auth is None:
        print("bracket: whoever reaches these hosts may use the app: add --auth-file FILE.", file=sys.stderr)
    from bracket.ui.serve import Served, serve

    served = Served(
        runs=args.runs,
        host=args.host.strip("[]"),
        port=port,
        auth=auth,
        share=args.share,
        browser=not args.no_browser,
        hosts=args.allow_host,
        prefix=prefix,
    )
    try:
        serve(served, functools.partial(print, flush=True))
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
    parser.add_argument(
        "--auth-file", type=Path, metavar="FILE", help="the same from a file's first line (or BRACKET_AUTH holds it)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer to this host too, by which a proxy shows the app (*.example.org for all of its names)",
    )
    parser.add_argument("--root-path", default="", metavar="/PATH", help="the path under which a proxy shows the app")
    parser.add_argument("--runs", type=Path, default=runs_folder(), help="folder of sessions (default: %(default)s)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    return parser.parse_args(argv)


def password(given: str, file: Path | None) -> str:
    """user:password from where it was given: the option, a file, or BRACKET_AUTH.

    Raises:
        StartError: the file can't be read, or others may read it.
    """
    stored = app_password()
    if file is None:
        return given or stored
    try:
        if os.name != "nt" and file.stat().st_mode & 0o077:
            raise StartError(f"--auth-file {file} may be read by others: chmod 600 it.")
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise StartError(f"--auth-file {file} can't be read: {why}.") from None
    return lines[0].strip() if lines else ":"


def root_path(given: str) -> str:
    """The proxy's path with a slash before it and none behind.

    Raises:
        StartError: it is no path.
    """
    path = f"/{given.strip('/')}" if given.strip("/") else ""
    if path and not re.fullmatch(r"(?:/[A-Za-z0-9._~-]+)+", path):
        raise StartError(f"--root-path {given} is no path: give one such as /bracket.")
    return path


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


if __name__ == "__main__":
    sys.exit(guarded(main))
