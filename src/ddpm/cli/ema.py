"""`ddpm ema`: the weights of a finished training averaged over another length."""

from pathlib import Path
from typing import Annotated

import typer

from ddpm.common import terminal

app = typer.Typer()


@app.command()
def ema(
    length: Annotated[
        float, typer.Option(help="Standard deviation of the average relative to the training: 0.1 is 10 % of it.")
    ],
    train: Annotated[Path, typer.Option(help="Output of a training with snapshots.")] = Path("out/train"),
    out: Annotated[
        Path | None, typer.Option(help="The new model folder; by default ema-LENGTH.", show_default=False)
    ] = None,
) -> None:
    """Average a training's weights over another length, from its snapshots: a model folder for `ddpm sample --model`.

    See docs/diffusion.md; `train.snapshots` of params.yaml says how many snapshots a training keeps.
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
            f"{train} holds the snapshots of another training than its model. Run `dvc repro --force train`"
        )
    _, error = power_ema.coefficients(snapshots, length)
    weights = power_ema.reconstruct(snapshots, length)
    raw = files.read_tensors(train / "model" / checkpoint.RAW)
    checkpoint.save(target, config.extended(ema={"length": length}), weights, raw)
    terminal.echo(
        f"ema: average of length {length:g} from {len(snapshots.steps)} snapshots (profile error {error:.2%}) is in "
        f"{target}; draw from it: ddpm sample --model {target}"
    )
