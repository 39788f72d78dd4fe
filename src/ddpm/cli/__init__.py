"""The command line `ddpm`.

Each module of this package has a typer app called `app`, mounted by its line in COMMANDS. Heavy imports (torch, mlflow,
dvc) are local to functions, so `ddpm --help` is quick.
"""

import os
import sys
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ddpm.common import environment, faults, terminal
from ddpm.provenance import checkout

COMMANDS = {
    # module of this package: name of its command group; "" mounts its commands at the top level
    "run": "",
    "serve": "",
    "notify": "",
    "data": "data",
    "preset": "",
    "sample": "",
    "ema": "",
    "restore": "",
    "likelihood": "",
    "report": "",
    "score": "",
    "weights": "weights",
    "review": "",
    "models": "",
    "approval": "",
    "canary": "",
    "compare": "",
    "lineage": "",
    "reproduce": "",
    "trial": "",
    "study": "",
    "exchange": "",
    "doctor": "",
}


class FriendlyErrors(TyperGroup):
    """Report expected errors as one message with exit status 1; DDPM_TRACEBACK=1 shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            checkout.require_own_code()
            return super().invoke(ctx)
        except (ValueError, OSError) as error:
            if os.environ.get("DDPM_TRACEBACK"):
                raise
            terminal.error(faults.exhausted(error) or error)
            raise typer.Exit(1) from error
        except (MemoryError, RuntimeError) as error:
            if os.environ.get("DDPM_TRACEBACK") or not (lacking := faults.exhausted(error)):
                raise
            terminal.error(lacking)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            terminal.echo("stopped", file=sys.stderr)
            raise typer.Exit(130) from error


def _app() -> typer.Typer:
    """Mount all commands. Plain help: rich's columns truncate option values at 80 characters."""
    top = typer.Typer(cls=FriendlyErrors, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None)
    top.callback()(_about)
    for module, name in COMMANDS.items():
        top.add_typer(import_module(f"ddpm.cli.{module}").app, name=name or None)
    return top


def _print_version(wanted: bool) -> None:
    """Print the installed version and end."""
    if wanted:
        terminal.echo(f"ddpm {metadata.version('ddpm')}")
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train, evaluate, promote and reproduce diffusion models of your images.

    `ddpm run` runs the whole pipeline, from images to a promoted model.
    """
    environment.complete()


app = _app()
