#!/bin/sh
# Make the virtual environment with the newest Python of at least 3.11 that is there.
set -eu
for python in python3 python3.13 python3.12 python3.11; do
    if command -v "$python" >/dev/null &&
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        [ -x "$1/bin/python" ] || "$python" -m venv "$1"
        exit 0
    fi
done
echo "Python 3.11 or newer is needed: apt-get install python3 python3-venv" >&2
exit 3
