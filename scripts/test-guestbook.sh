#!/usr/bin/env bash
# The guestbook's own tests, in a virtual environment that is made again when its requirements change.
set -euo pipefail
cd "$(dirname "$0")/.."
app=examples/guestbook
venv=target/guestbook-venv
if ! cmp -s "$app/requirements.txt" "$venv/requirements.txt"; then
    rm -rf "$venv"
    /usr/bin/python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$app/requirements.txt"
    cp "$app/requirements.txt" "$venv/requirements.txt"
fi
export PYTHONDONTWRITEBYTECODE=1
unset DATABASE_URL SECRET_KEY ALLOWED_HOSTS DEBUG
python=$PWD/$venv/bin/python
cd "$app"
"$python" manage.py test
DEBUG=1 DATA_DIR=$(dirname "$python") "$python" manage.py makemigrations --check --dry-run
