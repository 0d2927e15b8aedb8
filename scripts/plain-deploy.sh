#!/usr/bin/env bash
# How many people deploy a Django app: a folder and a virtual environment per release, a symbolic link, HUP to gunicorn.
# Only `make bench-deploy` uses it, to have something to stand beside.
#
#   plain-deploy.sh SOURCE SITE [UV]    with UV (its path) packages are installed by uv, else by pip
set -euo pipefail
source=$1 site=$2 uv=${3:-}
release=$site/releases/$(date +%s%N)

mkdir -p "$site/releases" "$site/data"
cp -a "$source" "$release"
cd "$release"
if [ -n "$uv" ]; then
    "$uv" venv --quiet --python /usr/bin/python3 venv
    "$uv" pip install --quiet --python venv/bin/python -r requirements.txt
else
    /usr/bin/python3 -m venv venv
    venv/bin/pip install --quiet -r requirements.txt
fi
export DATA_DIR=$site/data SECRET_KEY=plain
venv/bin/python manage.py migrate --noinput >/dev/null
venv/bin/python manage.py collectstatic --noinput >/dev/null

ln -s "$release" "$site/next"
mv -T "$site/next" "$site/current"
[ ! -e "$site/gunicorn.pid" ] || kill -HUP "$(cat "$site/gunicorn.pid")"
