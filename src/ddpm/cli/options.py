"""Options that several commands share."""

from typing import Annotated, Any

import typer

from ddpm.sampling.options import OPTIONS, default

ModelOption = Annotated[
    str, typer.Option("--model", help="models:/NAME@ALIAS, models:/NAME/VERSION, or a checkpoint folder.")
]
TRAINED = "out/train/model"
"""Checkpoint of the last training."""
RecordedArgument = Annotated[
    str, typer.Argument(help="A version of --name, models:/NAME@ALIAS, models:/NAME/VERSION, or a run id.")
]
NameOption = Annotated[
    str, typer.Option("--name", help="The registered model; by default promote.name of params.yaml.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace --out if it exists.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]


def sampler_option(name: str, fallback: str = "") -> Any:
    """Build the command-line option of a sampler option; if it is not given, the model's own setting applies.

    A value that no model accepts is refused before anything is imported. fallback: description of the value for a model
    without settings; by default the option's default.
    """
    found, value = OPTIONS[name], default(name)
    text = found.described if found.samplers else found.described[0].upper() + found.described[1:]
    fallback = fallback or found.none or ("" if isinstance(value, bool) else str(value))

    def checked(value: Any) -> Any:
        if value is not None:
            found.check(name, value)
        return value

    return typer.Option(help=f"{text}.{fallback and f'  [default: {fallback}]'}", show_default=False, callback=checked)
