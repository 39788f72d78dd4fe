"""`ddpm ema`: post-hoc EMA, an average of the weights of any length after training."""

from pathlib import Path
from typing import Annotated

import typer

from ddpm.common import terminal

app = typer.Typer()


@app.command()
def ema(
    length: Annotated[
        float, typer.Option(help="Standard deviation of the average's profile, relative to the length of the training.")
    ],
    train: Annotated[Path, typer.Option(help="Output folder of a training with snapshots.")] = Path("out/train"),
    out: Annotated[
        Path | None, typer.Option(help="The new model folder; by default ema-LENGTH.", show_default=False)
    ] = None,
) -> None:
    """Write a model folder with an average of any length.

    The average is reconstructed from the snapshots that training keeps (`train.snapshots` of params.yaml), see
    docs/diffusion.md. The folder is for `ddpm sample --model`.
    """
    from ddpm.common import files
    from ddpm.model import checkpoint, power_ema

    target = out or Path(f"ema-{length:g}")
    if target.exists():
        raise ValueError(f"{target} exists already. Remove it, or name another folder: --out FOLDER")
    config = checkpoint.read_config(train / "model")
    snapshots = power_ema.read(train / "ema")
    if snapshots.digest != config.digest:
        raise ValueError(
            f"the snapshots and the model in {train} are from different trainings. Run `dvc repro --force train`"
        )
    _, error = power_ema.coefficients(snapshots, length)
    weights = power_ema.reconstruct(snapshots, length)
    raw = files.read_tensors(train / "model" / checkpoint.RAW)
    checkpoint.save(target, config.extended(ema={"length": length}), weights, raw)
    terminal.echo(
        f"ema: average of length {length:g} from {len(snapshots.steps)} snapshots (profile error {error:.2%}) is in "
        f"{target}. Sample it with: ddpm sample --model {target}"
    )
