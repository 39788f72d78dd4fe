#!/usr/bin/env bash
# Train on a SLURM cluster, in as many jobs as it takes: `sbatch scripts/slurm.sh`, in a checkout with prepared data.
#
# SLURM sends SIGTERM to the training 120 seconds before the time limit, and when it preempts the job. Training saves
# its state and ends with status 143; the job then goes back to the queue and resumes where it stopped. --requeue lets
# SLURM do the same after the failure of a node. Any other failure ends the job. Options of sbatch override those below:
# `sbatch --gpus-per-node=4 scripts/slurm.sh` trains with four processes.
#SBATCH --job-name=ddpm-train
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
set -euo pipefail

python="${DDPM_PYTHON:-.venv/bin/python}"
if [[ ! -x "$python" ]]; then
    echo "slurm.sh: $PWD/$python is missing. Submit from a checkout with an environment, or set DDPM_PYTHON." >&2
    exit 1
fi

status=0
srun --kill-on-bad-exit=1 "$python" -m ddpm.stages.train || status=$?
if [[ $status -eq 143 ]]; then
    echo "slurm.sh: training has saved its state and stopped; job $SLURM_JOB_ID goes back to the queue"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$status"
