"""Score candidate and champion together, as the evaluate stage does: `python -m ddpm.stages.rescore CHAMPION SCORES`.

Not a DVC stage. One process loads reference and extractor once and looks at both models with them, so that what the
gate compares differs in the weights alone; numbers of another day or another machine are never compared.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

from ddpm.common import files
from ddpm.config import params
from ddpm.data import prepared
from ddpm.evaluation import reference
from ddpm.model import alike, checkpoint
from ddpm.stages import evaluate, run, sample


def main() -> None:
    """Draw and score."""
    if len(sys.argv) != 3:
        raise ValueError("usage: python -m ddpm.stages.rescore CHAMPION_FOLDER SCORES_FILE")
    rescore(Path(sys.argv[1]), Path(sys.argv[2]))


def rescore(champion: Path, target: Path) -> None:
    """Write the scores of the `candidate`, under out/, and of the `champion`, both as in metrics.json, to one file.

    Only the champion is drawn: the candidate's images are those of the sample stage, drawn from the same seeds by the
    same parameters. Raises ValueError when the champion cannot be drawn like the candidate.
    """
    settings, candidate = params.load(), evaluate.TRAIN / "model"
    config = checkpoint.read_config(candidate)
    different = alike.differences(config, checkpoint.read_config(champion))
    if different:
        raise ValueError(f"candidate and champion are models of different things: {'; '.join(different)}")
    drawn_from = files.read_json(evaluate.SAMPLE / "sample.json")["weights_sha256"]
    if drawn_from != files.sha256_file(candidate / checkpoint.WEIGHTS):
        raise ValueError("out/sample was drawn from other weights than out/train has. Run `dvc repro sample`.")
    extractor, real = reference.load(device=evaluate.device())
    data = prepared.load()

    def scores(folder: Path) -> dict[str, Any]:
        with evaluate.looked(folder, extractor, real) as seen:
            return evaluate.measure(seen, extractor, real, settings.evaluate, data)

    with tempfile.TemporaryDirectory() as temporary:
        drawn = Path(temporary) / "sample"
        sample.draw(champion, drawn, settings.sample, classes=config["image"]["classes"])
        files.write_json(target, {"candidate": scores(evaluate.SAMPLE), "champion": scores(drawn)})


if __name__ == "__main__":
    run(main)
