#!/bin/sh
# Makes the virtual environment $1 from requirements.lock: with uv where it is on the PATH, else with pip.
set -eu
venv=$1

is_311() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

python=
for candidate in "${PYTHON:-}" python3.11 python3 python; do
    if [ -n "$candidate" ] && is_311 "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "taskroute needs Python 3.11 and found none: install it (Debian: apt-get install python3.11-venv; elsewhere: pyenv install 3.11) or name it, as in: make demo PYTHON=/path/to/python3.11" >&2
    exit 2
fi
if ! command -v c++ >/dev/null && ! command -v g++ >/dev/null; then
    echo "taskroute needs a C++ compiler for one dependency and found none: install one (Debian: apt-get install g++) and call make again" >&2
    exit 2
fi

echo "making $venv from requirements.lock (once; a few minutes, about 4 GB)"
if [ ! -x "$venv/bin/python" ] || ! is_311 "$venv/bin/python"; then
    rm -rf "$venv"
    "$python" -m venv "$venv"
fi
if command -v uv >/dev/null; then
    uv pip install --quiet --python "$venv/bin/python" --no-deps --require-hashes -r requirements.lock
    uv pip install --quiet --python "$venv/bin/python" --no-deps --editable .
else
    "$venv/bin/python" -m pip install --quiet --no-deps --require-hashes -r requirements.lock
    "$venv/bin/python" -m pip install --quiet --no-deps --editable .
fi
