"""`ddpm run` and `ddpm retrain`: one run of a flow at the terminal."""

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
            help="Change a parameter first (repeatable). It is checked, written into params.yaml and kept there, "
            "so that DVC, git and the record agree; `git checkout params.yaml` puts it back.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Bring everything up to date: data, stages, record, registered version, champion.

    What has not changed is not done again. The exit status is 0 whatever the verdict, and 1 after a failure.
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
        bool, typer.Option("--accept-drift", help="Train however far the data are from the champion's.")
    ] = False,
) -> None:
    """Update the data from their source, run if anything has changed, and commit the result to flow.branch."""
    project.enter("retrain")
    from flows.service import foreground

    def flow() -> object:
        from flows.retrain import retrain

        return retrain(force=force, accept_drift=accept_drift)

    foreground.run(flow)
