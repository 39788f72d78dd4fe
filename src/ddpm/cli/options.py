"""Options that several commands share."""

from typing import Annotated, Any

import typer

from ddpm.sampling.options import OPTIONS, default

Model = Annotated[
    str, typer.Option("--model", help="models:/NAME@ALIAS, models:/NAME/VERSION, or a checkpoint folder.")
]
TRAINED = "out/train/model"
"""What the last training left."""
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]


def of_sampler(name: str, otherwise: str = "") -> Any:
    """An option of the command line for a sampler option; without it, a model's own setting applies.

    otherwise: the value where the model has no setting either; by default the default of the sampler option.
    """
    found, value = OPTIONS[name], default(name)
    text = found.described if found.samplers else found.described[0].upper() + found.described[1:]
    otherwise = otherwise or found.none or ("" if isinstance(value, bool) else str(value))
    return typer.Option(help=f"{text}{otherwise and f'; else {otherwise}'}.", show_default=False)
