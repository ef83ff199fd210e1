#!/usr/bin/env bash
# Sets bracket up (once) and starts it: `./start_gui.sh --help` lists the verbs. Works from any folder.
set -u

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P) || exit 1

fits() {
    "$1" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1
}

if [ -n "${BRACKET_PYTHON:-}" ]; then
    python=$BRACKET_PYTHON
    if ! fits "$python"; then
        echo "bracket: BRACKET_PYTHON ($python) is not a Python 3.11 to 3.14. Set it to one, or unset it." >&2
        exit 1
    fi
else
    python=
    for candidate in python3 python3.12 python3.11 python3.13 python3.14 python; do
        if fits "$candidate"; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        echo "bracket: no Python 3.11 to 3.14 found. Install one (python.org, or 'sudo apt install python3 python3-venv'," >&2
        echo "or 'brew install python@3.12'), or set BRACKET_PYTHON to where one is." >&2
        exit 1
    fi
fi

# -I: neither the caller's folder nor a user's site-packages may stand in for the standard library.
exec "$python" -I "$root/bracket/bootstrap.py" "$@"
