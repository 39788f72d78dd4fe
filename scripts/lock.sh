#!/usr/bin/env bash
# Refresh the lock files from pyproject.toml: requirements.lock (what runs), requirements-team.lock (that, plus PostgreSQL
# and S3), requirements-dev.lock (that, plus tests and tools), and requirements-inception.lock (what tests/inception needs,
# with its own torch).
# uv's own environments are held to requirements-dev.lock by constraints in pyproject.toml (scripts/uv_pins.py).
# One resolution serves Python 3.11 to 3.13 on Linux and macOS. torch pins its own CUDA packages exactly, and only its
# CUDA builds ask for them, so they are left out here: the same lock installs a CPU build as well.
set -euo pipefail
cd "$(dirname "$0")/.."
uv() { "${UV:-uv}" "$@"; }
header='# Made by scripts/lock.sh from pyproject.toml. Do not edit: change pyproject.toml, then run `make lock`.'
compile() { # compile OUTPUT [SOURCE OR OPTION ...]
    local output=$1; shift
    uv pip compile --universal --python-version 3.11 --no-header --no-annotate --no-emit-package pip --quiet \
        "$@" -o "$output.new"
    { echo "$header"; grep -vE '^(nvidia|cuda)-|^triton==' "$output.new" | sed 's/+cpu//'; } > "$output.clean"
    rm "$output.new"
    mv "$output.clean" "$output"
}
trap 'python3 scripts/uv_pins.py' EXIT
python3 scripts/uv_pins.py --clear
compile requirements.lock pyproject.toml --upgrade
compile requirements-team.lock pyproject.toml --upgrade --extra team --constraint requirements.lock
compile requirements-dev.lock pyproject.toml --upgrade --extra team --group pyproject.toml:dev --constraint requirements-team.lock
grep -v '^torch==' requirements-dev.lock > requirements-inception.same
compile requirements-inception.lock tests/inception/requirements.in --upgrade --constraint requirements-inception.same
rm requirements-inception.same
for lock in requirements.lock requirements-team.lock requirements-dev.lock requirements-inception.lock; do
    echo "$lock: $(grep -c == "$lock") packages"
done
