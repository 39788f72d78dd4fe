"""Score candidate and champion together, as the evaluate stage does.

Not a DVC stage. One process loads reference and extractor once and scores both models with them, so that what the gate
compares differs in the weights alone; numbers of another day or another machine are never compared.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

from ddpm.stages import run

CANDIDATE, SAMPLE = Path("out/train/model"), Path("out/sample")
HISTORY = Path("out/train/history.csv")


def main(champion: str, target: str) -> None:
    """Draw and score."""
    rescore(Path(champion), Path(target))


def rescore(champion: Path, target: Path) -> None:
    """Write the scores of `candidate` (the model under out/) and `champion`, both as in metrics.json, to one file.

    Only the champion is drawn: the candidate's images are those of the sample stage, drawn from the same seeds by the
    same parameters. Raises ValueError when the champion cannot be drawn like the candidate.
    """
    from ddpm.common import files
    from ddpm.config import params
    from ddpm.data import prepared
    from ddpm.evaluation import history, reference, score_folder
    from ddpm.model import alike, checkpoint
    from ddpm.runtime.device import evaluation_device
    from ddpm.sampling.to_folder import sample_to_folder

    settings, device = params.load(), os.environ.get("DDPM_DEVICE", "auto")
    config = checkpoint.read_config(CANDIDATE)
    different = alike.differences(config, checkpoint.read_config(champion))
    if different:
        raise ValueError(f"candidate and champion are models of different things: {'; '.join(different)}")
    drawn_from = files.read_json(SAMPLE / "sample.json")["weights_sha256"]
    if drawn_from != files.sha256_file(CANDIDATE / checkpoint.WEIGHTS):
        raise ValueError("out/sample was drawn from other weights than out/train has. Run `dvc repro sample`.")
    extractor, real = reference.load(device=evaluation_device(device))
    data, evaluate = prepared.load(), settings.evaluate

    def scores(folder: Path) -> dict[str, Any]:
        with score_folder.extracted(folder, extractor, real) as samples:
            return score_folder.score(samples, extractor, real, data, splits=evaluate.splits, blocks=evaluate.blocks)

    with tempfile.TemporaryDirectory() as temporary:
        drawn = Path(temporary) / "sample"
        sample_to_folder(
            champion,
            drawn,
            settings.sample.sampling,
            **settings.sample.drawing,
            classes=config.image.classes,
            device=device,
        )
        candidate = scores(SAMPLE) | history.generalisation(HISTORY)
        files.write_json(target, {"candidate": candidate, "champion": scores(drawn)})


if __name__ == "__main__":
    run(main, arguments=("CHAMPION_FOLDER", "SCORES_FILE"))
