"""Score candidate and champion together, as the evaluate stage does.

Not a DVC stage. One process loads reference and extractor once and scores both models with them, so the scores that the
gate compares differ in the weights alone. Scores from another time or machine are never compared.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from ddpm.stages import run

CANDIDATE = Path("out/train/model")
HISTORY = Path("out/train/history.csv")


def main(champion: str, target: str) -> None:
    """Sample and score both models; see `rescore`."""
    rescore(Path(champion), Path(target))


def rescore(champion: Path, target: Path) -> None:
    """Write the scores of `candidate` (the model under out/) and `champion`, both as in metrics.json, to one file.

    Both are sampled with section `sample` of params.yaml, from seeds that depend on the weights of both
    (`comparison_seed`). Raises ValueError if the champion cannot be sampled with the candidate's settings.
    """
    from ddpm.common import files
    from ddpm.config import params
    from ddpm.data import order, prepared
    from ddpm.evaluation import history, reference, score_folder
    from ddpm.model import alike, checkpoint
    from ddpm.runtime.device import evaluation_device
    from ddpm.sampling.to_folder import sample_to_folder

    settings, device = params.load(), os.environ.get("DDPM_DEVICE", "auto")
    config = checkpoint.read_config(CANDIDATE)
    different = alike.differences(config, checkpoint.read_config(champion))
    if different:
        raise ValueError(f"candidate and champion do not generate the same kind of image: {'; '.join(different)}")
    extractor, real = reference.load(device=evaluation_device(device))
    data, evaluate = prepared.load(), settings.evaluate

    seed = comparison_seed(*(files.sha256_file(folder / checkpoint.WEIGHTS) for folder in (CANDIDATE, champion)))
    drawing = settings.sample.model_copy(update={"seed": seed}).drawing

    def scores(model: Path, drawn: Path) -> dict[str, Any]:
        sample_to_folder(
            model,
            drawn,
            settings.sample.sampling,
            **drawing,
            classes=config.image.classes,
            class_weights=order.class_weights(data),
            device=device,
        )
        with score_folder.extracted(drawn, extractor, real) as samples:
            return score_folder.score(samples, extractor, real, data, splits=evaluate.splits, blocks=evaluate.blocks)

    with tempfile.TemporaryDirectory() as temporary:
        models = {"candidate": CANDIDATE, "champion": champion}
        found = {name: scores(model, Path(temporary) / name) for name, model in models.items()}
        found["candidate"] |= history.generalisation(HISTORY)
        files.write_json(target, found)


def comparison_seed(*weights: str) -> int:
    """Derive the first seed of a comparison from the SHA-256 of both models' weights, in any order: below 2^31.

    If all comparisons used the same seeds, the champion would be selected for doing well on exactly these seeds.
    """
    return int(hashlib.sha256("".join(sorted(weights)).encode()).hexdigest()[:8], 16) >> 1


if __name__ == "__main__":
    run(main, arguments=("CHAMPION_FOLDER", "SCORES_FILE"))
