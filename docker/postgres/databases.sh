#!/bin/sh
# One role and its databases for each server, made when PostgreSQL starts on an empty volume.
set -eu
SECRETS=${SECRETS:-/run/secrets}
make() { # make ROLE DATABASE ...: the password of ROLE is the file postgres_ROLE
    role=$1
    shift
    # From a file to psql's input: a command line could be read by others on the machine.
    { printf '\\set password '; cat "$SECRETS/postgres_$role"; printf "\nCREATE ROLE %s LOGIN PASSWORD :'password';\n" "$role"
      for name; do printf 'CREATE DATABASE %s OWNER %s;\nREVOKE ALL ON DATABASE %s FROM PUBLIC;\n' "$name" "$role" "$name"; done
    } | psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres
}
make mlflow mlflow mlflow_auth
make prefect prefect
