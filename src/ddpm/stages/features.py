"""Stage features: the extractor of the evaluation, and the reference statistics of real images."""

import os

from ddpm.stages import run


def main() -> None:
    """Make or open the extractor, extract features of all prepared images, and write out/features."""
    from ddpm.common import files, terminal
    from ddpm.common.units import number
    from ddpm.config import params
    from ddpm.data import prepared
    from ddpm.evaluation import features, reference
    from ddpm.runtime.device import evaluation_device

    settings, data = params.load().features, prepared.load()
    device = evaluation_device(os.environ.get("DDPM_DEVICE", "auto"))
    with files.fresh_folder(reference.FOLDER) as folder:
        chosen = settings.model_dump() | {"extractor": settings.choice(labelled=len(data.classes) > 1, kind=data.kind)}
        summary = features.build(folder, data, device, **chosen)
    accuracy = summary["heldout_accuracy"]
    note = f", held-out accuracy {accuracy:.2%}" if accuracy is not None else ""
    fid = {name: number(value) for name, value in summary["floors"]["fid"].items()}
    name = summary["extractor"]
    terminal.echo(
        f"features: {name}{note}; FID ({name}) of real images: {fid['heldout']} between training and held-out split, "
        f"{fid['halves']} between halves of the training split; of noise: {fid['noise']}"
    )


if __name__ == "__main__":
    run(main)
