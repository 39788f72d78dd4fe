"""How tests run the commands of the pages: as written, with a placeholder filled in, or in another test.

A command that is in no table is run as it stands.
"""

FILLED: dict[str, dict[str, str]] = {
    "ddpm data use FOLDER": {"FOLDER": "../own"},
    "ddpm data use FOLDER --apply": {"FOLDER": "../own", "--apply": "--apply && git checkout --quiet params.yaml"},
    "ddpm score --real FOLDER --fake FOLDER": {"--real FOLDER": "--real ../real", "--fake FOLDER": "--fake ../drawn"},
    "ddpm score --real FOLDER --fake FOLDER --extractor classifier": {
        "--real FOLDER": "--real ../real",
        "--fake FOLDER": "--fake ../drawn",
    },
    "ddpm score --real FOLDER --save-reference reference.safetensors": {"FOLDER": "../real"},
    "ddpm score --real reference.safetensors --fake FOLDER": {"FOLDER": "../drawn"},
    "ddpm export --to diffusers FOLDER": {"FOLDER": "../exported"},
    "ddpm export --to diffusers --model models:/ddpm-mnist@champion --label 7 DIR": {"DIR": "../seven"},
    "ddpm import DIR --out my-model": {"DIR": "../seven"},
    "ddpm sample --model models:/ddpm-mnist@champion --count 50000 --out many.npy": {"50000": "300"},
    "dvc exp run -S train.lr=0.001": {"train.lr": "sample.steps", "0.001": "3"},
}
"""Placeholders, numbers that would take hours, and parameters put back that later pages need."""

ELSEWHERE: dict[str, str] = {
    # whole pipelines and services
    "make run": "func/flows/test_end_to_end.py",
    "make test": "func/docs/test_pages.py",  # which is a part of it
    "ddpm run": "func/flows/test_end_to_end.py",
    "ddpm run --set train.lr=0.001 --set sample.count=500": "func/flows/test_end_to_end.py",
    "ddpm serve": "func/flows/test_service.py",
    'ddpm serve --cron "0 * * * *"': "func/flows/test_service.py",
    "ddpm serve --now": "func/flows/test_service.py",
    "ddpm data arrived": "func/flows/test_data_arrival.py",
    "ddpm data use prices.csv --apply": "func/cli/test_data_use.py",
    "ddpm review --count 40": "func/cli/test_review.py",  # waits for a person's answers
    "mlflow models serve -m models:/ddpm-mnist@champion --env-manager local --host 127.0.0.1 --port 5001":
        "func/serving/test_clean_environment.py",
    "curl -s 127.0.0.1:5001/invocations -H 'Content-Type: application/json' -d '{\"dataframe_split\": "
    '{"columns": ["label"], "data": [[3], [7]]}, "params": {"seed": 1}}\'': "func/serving/test_clean_environment.py",
    "sbatch scripts/slurm.sh": "func/project/test_slurm.py",  # needs a cluster
    # another machine
    "dvc remote add --default shared /mnt/shared/ddpm": "func/docs/test_pages.py",
    "git add .dvc/config data.dvc params.yaml dvc.lock && git commit -m results && dvc push": "func/docs/test_pages.py",
    "git clone REPOSITORY project && cd project": "func/docs/test_pages.py",
    "make .venv/.run": "func/docs/test_pages.py",
    ".venv/bin/dvc pull": "func/docs/test_pages.py",
    # trainings, one or several for each command
    "ddpm try train.lr=0.001": "func/trials/test_try.py",
    "nohup ddpm try --start > tried.log 2>&1 &": "func/trials/test_try.py",
    "ddpm study --seeds 8": "func/trials/test_try.py",
    # an environment of its own, built by pip
    "ddpm reproduce models:/ddpm-mnist@champion": "func/reproduce/test_reproduce.py",
    "ddpm reproduce models:/ddpm-mnist/3 --here --into /tmp/again": "func/reproduce/test_reproduce.py",
    # Inception: the internet, and 5 GB
    'pip install ".[inception]"': "inception/test_inception.py",
    "ddpm weights inception": "func/cli/test_weights.py",
    "ddpm weights inception --from FILE": "func/cli/test_weights.py",
    "ddpm weights dinov2": "func/cli/test_weights.py",
    "ddpm score --real a.npy --fake b.npy --extractor inception --count 10000 --json": "inception/test_inception.py",
    # several processes, several machines
    "torchrun --nproc-per-node 8 --no-python ddpm sample --model models:/ddpm-mnist@champion --count 50000 "
    "--out many.npy": "func/sampling/test_parts.py",
    "torchrun --nproc-per-node 4 --no-python ddpm sample --model models:/ddpm-mnist@champion --count 50000 "
    "--out many.npy": "func/sampling/test_parts.py",
    "torchrun --nproc-per-node 4 -m ddpm.stages.train": "func/stages/test_train_processes.py",
    "torchrun --nnodes 2 --nproc-per-node 8 --rdzv-backend c10d --rdzv-endpoint HOST:PORT -m ddpm.stages.train":
        "func/stages/test_train_processes.py",
    "curl http://127.0.0.1:8000/invocations -H 'Content-Type: application/json' "
    '-H "Authorization: Bearer $(cat docker/secrets/serve_token)" '
    "-d '{\"dataframe_split\": {\"columns\": [\"label\"], \"data\": [[3], [7]]}, "
    "\"params\": {\"steps\": 20, \"format\": \"png\"}}'": "func/docker/test_serve.py",
    # a question that a run asks, and a webhook
    'ddpm approve 4 --why "sharper sevens"': "func/flows/test_approval.py",
    'ddpm reject 4 --why "the eights are broken"': "func/flows/test_approval.py",
    "export DDPM_WEBHOOK_URL=https://chat.example.org/hooks/ddpm": "func/notifications/test_settings.py",
    'export DDPM_WEBHOOK_SECRET=whsec_"$(openssl rand -base64 32)"': "func/notifications/test_settings.py",
    "ddpm notify --test": "func/cli/test_notify.py",
    # a team's servers, in containers
    "docker/secrets.sh": "func/docker/test_compose.py",
    "cp docker/.env.example docker/.env": "func/docker/test_compose.py",
    "docker compose --file docker/compose.yaml --profile gpu up --build --wait": "func/docker/test_compose.py",
    "export MLFLOW_TRACKING_URI=http://127.0.0.1:5000 MLFLOW_TRACKING_USERNAME=admin": "func/docker/test_team.py",
    'export MLFLOW_TRACKING_PASSWORD="$(cat docker/secrets/mlflow_password)"': "func/docker/test_team.py",
    "export MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD=false MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD=false":
        "func/docker/test_team.py",
    "export PREFECT_API_URL=http://127.0.0.1:4200/api "
    'PREFECT_API_AUTH_STRING="$(cat docker/secrets/prefect_auth)"': "func/docker/test_team.py",
    "dvc remote add --default team s3://dvc/ddpm && dvc push": "func/docker/test_team.py",
}  # fmt: skip
"""What is not run here, and the file of tests that runs it."""

IN_TEXT = (
    "ddpm report", "ddpm report --markdown",
    "ddpm doctor", "ddpm --help", "ddpm preset", "ddpm status", "ddpm history", "ddpm data status",
    "dvc repro", "dvc metrics show", "dvc metrics diff", "dvc plots show", "dvc plots diff",
    "dvc exp run -S train.lr=0.001", "dvc exp show --only-changed",
    "dvc exp show --only-changed --drop 'out|src|Created|.*rec$|.*mr$'", "dvc metrics diff",
)  # fmt: skip
"""Whole commands that stand in a sentence, in the order in which they are run here."""

OTHER_PYTHON: dict[str, str] = {
    "small_images": "func/serving/test_clean_environment.py",
    "def verify(": "func/notifications/test_delivery.py",
    "create_webhook(": "func/registry/test_webhook.py",
    "from standardwebhooks": "func/notifications/test_delivery.py",
}
"""A word of a block of Python that needs another model, or is only defined; and the file of tests that runs it."""
