#!/bin/sh
# Make the secrets of compose.yaml, once: docker/secrets.sh [FOLDER]. What is there already stays, so it may be run again.
# Only you can enter the folder (0700). The files in it can be read by all, because containers read them as users of
# their own, to whom only single files are mounted.
set -eu
umask 077
cd "$(dirname "$0")"
folder=${1:-secrets}
mkdir -p "$folder"
chmod 0700 "$folder"
cd "$folder"
random() { openssl rand -hex 24; }
write() { # write FILE: from standard input, whole or not at all
    if [ -s "$1" ]; then cat >/dev/null; else cat >".$1" && chmod 0444 ".$1" && mv ".$1" "$1" && echo "made $folder/$1"; fi
}
for name in postgres_admin postgres_mlflow postgres_prefect mlflow_password mlflow_session serve_token; do
    random | tr -d '\n' | write "$name"
done
printf 'admin:%s' "$(random)" | write prefect_auth
printf 'postgresql://mlflow:%s@postgres:5432/mlflow' "$(cat postgres_mlflow)" | write mlflow_database
printf 'postgresql+asyncpg://prefect:%s@postgres:5432/prefect' "$(cat postgres_prefect)" | write prefect_database
write mlflow_auth.ini <<END
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = postgresql://mlflow:$(cat postgres_mlflow)@postgres:5432/mlflow_auth
admin_username = admin
admin_password = $(cat mlflow_password)
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
END
if [ ! -s store_credentials ] || [ ! -s store_identities.json ]; then
    rm -f store_credentials store_identities.json
    key=$(random) secret=$(random)
    printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$key" "$secret" | write store_credentials
    printf '{"identities": [{"name": "ddpm", "credentials": [{"accessKey": "%s", "secretKey": "%s"}],
 "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}\n' "$key" "$secret" | write store_identities.json
fi
