"""Options that several commands share."""

from typing import Annotated

import typer

Model = Annotated[
    str, typer.Option("--model", help="models:/NAME@ALIAS, models:/NAME/VERSION, or a checkpoint folder.")
]
TRAINED = "out/train/model"
"""What the last training left."""
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
