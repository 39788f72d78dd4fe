"""Compare out/prepare with the data behind a model.

Not a DVC stage, since which model is the champion is not recorded in files. The flow runs it when the data are not the
champion's, on what the champion's run keeps of its own.
"""

import os
from pathlib import Path

from ddpm.stages import run

PREPARED = Path("out/prepare")


def main(record: str, target: str) -> None:
    """Compare, and write the findings."""
    from ddpm.common import files
    from ddpm.config import params
    from ddpm.evaluation import feature_drift

    found = feature_drift.compare(Path(record), PREPARED, os.environ.get("DDPM_DEVICE", "auto"))
    files.write_json(Path(target), found.as_json(params.load().flow.max_drift))


if __name__ == "__main__":
    run(main, arguments=("RECORD_FOLDER", "TARGET_FILE"))
