"""The command `ddpm`: the front door of the project.

Each module of this package has a typer app called `app`; a line in COMMANDS mounts it. The modules import what is heavy
(torch, mlflow, dvc) inside their functions, so that `ddpm --help` is quick.
"""

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from ddpm.common import environment, faults, terminal
from ddpm.provenance import checkout

COMMANDS = {
    # module of this package: name of its group of commands; "" puts its commands at the top
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
    "exchange": "",
    "doctor": "",
}


class Polite(TyperGroup):
    """Report errors of use as one message and exit status 1; DDPM_TRACEBACK=1 shows where they come from."""

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
    """All commands in one."""
    top = typer.Typer(cls=Polite, no_args_is_help=True, pretty_exceptions_enable=False)
    top.callback()(_about)
    for module, name in COMMANDS.items():
        top.add_typer(import_module(f"ddpm.cli.{module}").app, name=name or None)
    return top


def _about() -> None:
    """Diffusion models of your images: trained, measured, promoted and reproduced.

    `ddpm run` goes the whole way, from images to a promoted model. The other commands are for what surrounds it.
    """
    environment.complete()


app = _app()
