"""Score any checkpoint as the evaluate stage would now: `python -m ddpm.stages.rescore MODEL_FOLDER METRICS_FILE`.

Not a DVC stage. The flow runs it on the champion, so that champion and candidate are compared on the same reference,
with the same seeds and the same extractor; numbers of another day are never compared.
"""

import sys
import tempfile
from pathlib import Path

from ddpm import files, params, reference
from ddpm.data import prepared
from ddpm.stages import evaluate, run, sample


def main() -> None:
    """Draw and score."""
    if len(sys.argv) != 3:
        raise ValueError("usage: python -m ddpm.stages.rescore MODEL_FOLDER METRICS_FILE")
    rescore(Path(sys.argv[1]), Path(sys.argv[2]))


def rescore(model_folder: Path, target: Path) -> None:
    """Write to `target` what metrics.json would hold if `model_folder` had just been trained."""
    settings = params.load()
    extractor, real = reference.load(device=evaluate.device())
    with tempfile.TemporaryDirectory() as temporary:
        drawn = Path(temporary) / "sample"
        sample.draw(model_folder, drawn, settings.sample)
        with evaluate.looked(drawn, extractor, real) as seen:
            metrics = evaluate.measure(seen, extractor, real, settings.evaluate, prepared.load())
    files.write_json(target, metrics)


if __name__ == "__main__":
    run(main)
