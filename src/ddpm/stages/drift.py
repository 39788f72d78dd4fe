"""Compare out/prepare with the data behind a model: `python -m ddpm.stages.drift RECORD_FOLDER TARGET_FILE`.

Not a DVC stage, since which model is the champion is not recorded in files. The flow runs it when the data are not the
champion's, on what the champion's run keeps of its own.
"""

import os
import sys
from pathlib import Path

from ddpm.stages import run

PREPARED = Path("out/prepare")


def main() -> None:
    """Compare, and write the findings."""
    from ddpm.common import files
    from ddpm.config import params
    from ddpm.evaluation import feature_drift

    if len(sys.argv) != 3:
        raise ValueError("usage: python -m ddpm.stages.drift RECORD_FOLDER TARGET_FILE")
    found = feature_drift.compare(Path(sys.argv[1]), PREPARED, os.environ.get("DDPM_DEVICE", "auto"))
    files.write_json(Path(sys.argv[2]), found.as_json(params.load().prepare.max_drift))


if __name__ == "__main__":
    run(main)
