#!/bin/sh
# Run a command with secrets from files: NAME_FROM=/run/secrets/file becomes NAME=what the file says.
# They are never part of an image, a compose file or a command line.
set -eu
for name in $(env | sed -n 's/^\([A-Z][A-Z0-9_]*\)_FROM=.*/\1/p'); do
    eval "file=\$${name}_FROM"
    if [ ! -s "$file" ]; then
        echo "error: ${name}_FROM names $file, which is missing, empty or not readable; run docker/secrets.sh" >&2
        exit 1
    fi
    value=$(cat "$file")
    export "$name=$value"
    unset "${name}_FROM"
done
unset name file value
exec "$@"
