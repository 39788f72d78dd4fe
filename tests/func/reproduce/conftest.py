"""A small project under git and DVC, trained once and recorded: what is to be reproduced."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from ddpm import registry, tracking
from ddpm.common import files
from tests.support import tiny
from tests.support.records import DIGEST
from tests.support.repositories import sh

NAME = "digits"
SCORES = {"fid": 30.0, "spread": {"fid": {"mean": 30.0, "std": 4.0}}, "conditions": {"steps": 4, "blocks": 4}}
MACHINE = {
    "ddpm.cpu": "x86_64 Test", "ddpm.instructions": "AVX2", "ddpm.threads": "1", "ddpm.device": "cpu",
    "ddpm.torch": "2.13.0", "ddpm.python": "3.11.7",
}  # fmt: skip
DVC_YAML = """\
stages:
  train:
    cmd: exec python src/train.py
    deps: [data, src/train.py]
    params: [seed]
    outs: [out/train]
  evaluate:
    cmd: exec python src/evaluate.py
    deps: [out/train, src/evaluate.py]
    outs: [out/evaluate]
"""
TRAIN = """\
import json, os
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
seed = int(Path("params.yaml").read_text().split()[1]) + len(Path("data/a.txt").read_text())
kernel = np.random.default_rng(seed).standard_normal((4, 3)).astype(np.float32)
kernel[0, 0] += float(os.environ.get("TEST_NOISE", 0))
out = Path("out/train/model")
out.mkdir(parents=True)
save_file({"bias": np.zeros(3, np.float32), "kernel": kernel}, str(out / "weights.safetensors"))
(out / "config.json").write_text(Path("config.json").read_text())
spool = Path(".state/tracking/x")
spool.mkdir(parents=True, exist_ok=True)
tags = json.loads(Path("machine.json").read_text()) | {"ddpm.threads": os.environ["OMP_NUM_THREADS"]}
(spool / "events.jsonl").write_text(json.dumps({"event": "start", "tags": tags}) + "\\n")
"""
EVALUATE = """\
import json, os
from pathlib import Path
scores = json.loads(Path("scores.json").read_text())
scores["fid"] += float(os.environ.get("TEST_SCORE", 0))
Path("out/evaluate").mkdir(parents=True)
Path("out/evaluate/metrics.json").write_text(json.dumps(scores))
"""


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Committed, with its data in DVC's cache and in no remote; copied for each test."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ.update(GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_SYSTEM="/dev/null", DVC_NO_ANALYTICS="1")
    for who in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{who}_NAME": "Somebody", f"GIT_{who}_EMAIL": "somebody@example.org"}
    folder = tmp_path_factory.mktemp("template")
    contents = {
        "params.yaml": "seed: 3\n", "requirements.lock": f"numpy=={metadata.version('numpy')}\n", "data/a.txt": "aaaa",
        "dvc.yaml": DVC_YAML, "src/train.py": TRAIN, "src/evaluate.py": EVALUATE, "machine.json": json.dumps(MACHINE),
        "config.json": json.dumps({**tiny.CONFIG, "digest": DIGEST}), "scores.json": json.dumps(SCORES),
        "data/deep/b.txt": "b", ".gitignore": "/data\n/out/\n/.state/\n/.env\n",
    }  # fmt: skip
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    sh(folder, "git", "init", "-q")
    sh(folder, "dvc", "init", "-q")
    sh(folder, "dvc", "add", "-q", "data")
    sh(folder, "git", "add", ".")
    sh(folder, "git", "commit", "-qm", "the project")
    shutil.rmtree(folder / ".dvc" / "tmp")
    return folder


@pytest.fixture
def checkout(project: Path, template: Path) -> Path:
    """A copy of it, the current folder, with an embedded record."""
    shutil.copytree(template, project, symlinks=True, dirs_exist_ok=True)
    return project


@pytest.fixture
def trained(checkout: Path) -> Callable[..., str]:
    """A function that trains what lies in the checkout, records it, registers it if asked, and gives the run."""

    def train(*, register: bool = False) -> str:
        changed = tracking.changes()
        with tracking.Tracker(DIGEST) as tracker:
            tracker.start({"seed": "3"}, tracking.lineage(changed) | MACHINE, changed.content)
            subprocess.run(
                [sys.executable, "src/train.py"],
                check=True,
                env=os.environ | {"OMP_NUM_THREADS": MACHINE["ddpm.threads"]},
            )
            tracker.finish("FINISHED")
        model = checkout / "out/train/model"
        weights = {"ddpm.weights": files.sha256_file(model / "weights.safetensors")}
        run_id = tracking.complete(DIGEST, SCORES, tags=weights)
        if register:
            registry.register(model, NAME, run_id, SCORES)
        return run_id

    return train
