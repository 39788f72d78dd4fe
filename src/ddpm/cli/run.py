"""`ddpm run` and `ddpm retrain`: one flow run in the foreground."""

from typing import Annotated

import typer

from ddpm.cli import project

app = typer.Typer()


@app.command()
def run(
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SECTION.KEY=VALUE",
            help="Change a parameter first (repeatable). The change is validated and kept in params.yaml, so that DVC, "
            "git and the record agree; `git checkout params.yaml` reverts it.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Bring data, model, scores, registry and champion up to date.

    Stages whose inputs are unchanged are skipped. Exit status: 0 whatever the verdict, 1 after a failure.
    """
    project.enter("run")
    if changes:
        from ddpm.cli import overrides

        overrides.apply(changes)
    from flows.service import foreground

    def flow() -> object:
        from flows.pipeline import pipeline

        return pipeline()

    foreground.run(flow)


@app.command()
def retrain(
    force: Annotated[bool, typer.Option("--force", help="Run even if nothing has changed.")] = False,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Train even if the data have drifted from the champion's.")
    ] = False,
) -> None:
    """Update the data, run what changed, commit the result.

    The commit goes to the branch flow.branch of params.yaml.
    """
    project.enter("retrain")
    from flows.service import foreground

    def flow() -> object:
        from flows.retrain import retrain

        return retrain(force=force, accept_drift=accept_drift)

    foreground.run(flow)
