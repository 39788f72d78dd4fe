"""`ddpm review`: blind judgement of real and generated images; the error rate becomes a metric of the run."""

from typing import TYPE_CHECKING, Annotated

import typer

from ddpm.common import terminal

if TYPE_CHECKING:
    from ddpm.review.session import Session

app = typer.Typer()

PORT = 8765
INTERRUPTED = 130


@app.command()
def review(
    count: Annotated[int, typer.Option(help="Images to judge.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="Selects and orders the images; another seed starts another review.")] = 0,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for any free port.", min=0, max=65535)] = PORT,
    record: Annotated[bool, typer.Option(help="Log the result to the model's MLflow run.")] = True,
) -> None:
    """Judge images blind as real (held-out) or generated.

    Serves a page on 127.0.0.1. Keys: R real, G generated, U undo. Ctrl-C stops; the same command resumes. After the
    last answer the result is logged, and shown on the page until Ctrl-C.
    """
    from ddpm.review.server import Server

    session, digest = open_session(count, seed)
    if session.finished:
        terminal.echo(f"This review is finished ({session.path}). Start another with --seed {seed + 1}")
        report_result(session, digest, record=record)
        return
    failed = False

    def finished() -> None:
        nonlocal failed
        try:
            report_result(session, digest, record=record)
        except (ValueError, OSError) as error:  # the page still shows the result
            failed = True
            terminal.error(error)
        terminal.echo("the page shows the result until Ctrl-C")

    try:
        server = Server(session, port, on_result=finished)
    except OSError as error:
        raise OSError(
            f"port {port} of 127.0.0.1 cannot be used ({error.strerror}). Choose another: --port 0"
        ) from error
    terminal.reveal(f"review: open {server.link} in a browser; Ctrl-C stops without losing answers")
    try:
        server.run()
    except KeyboardInterrupt as error:
        if session.finished:
            raise typer.Exit(int(failed)) from error
        terminal.echo(f"stopped after {len(session.answers)} of {count} images; the same command resumes")
        raise typer.Exit(INTERRUPTED) from error


def open_session(count: int, seed: int) -> tuple["Session", str]:
    """Open the review of the images in out/sample; return it and the digest of their training."""
    from pathlib import Path

    from ddpm.common import files
    from ddpm.data import prepared
    from ddpm.review import session

    sample, config = Path("out/sample"), Path("out/train/model/config.json")
    if not (sample / "sample.json").is_file():
        raise FileNotFoundError(f"{sample} has no samples. Run `dvc repro sample` (or `make run`).")
    data, drawn = prepared.load(), files.read_json(sample / "sample.json")
    if data.series is not None:
        raise ValueError("`ddpm review` is for images; people do not tell series apart by sight. See the report.")
    conditions = {"weights_sha256": drawn["weights_sha256"], "data_sha256": data.sha256}
    if drawn["weights_sha256"] != files.sha256_file(config.with_name("weights.safetensors")):
        raise ValueError(f"{sample} was generated with other weights than those in out/train. Run `dvc repro sample`.")
    real, generated = data.images[data.heldout_indices], files.read_npy(sample / "images.npy", memory_map=True)
    made = session.start(real, generated, count=count, seed=seed, conditions=conditions)
    return made, files.read_json(config)["digest"]


def report_result(session: "Session", digest: str, *, record: bool) -> None:
    """Print the result, and log it to the run."""
    found = session.result()
    error = found["error"]
    terminal.echo(
        f"human error rate {error['rate']:.1%} ({error['wrong']} of {error['of']}), interval {error['low']:.1%} to "
        f"{error['high']:.1%} ({found['interval']}); guessing gives 50%",
        f"saved in {session.path}",
    )
    if not record:
        return
    from ddpm import tracking

    with tracking.friendly_errors():
        run_id = tracking.run_of(digest)
        if run_id is None:
            terminal.echo("MLflow has no run of this model; the result is in that file only. `make run` makes the run.")
            return
        names = {"human_error_rate": "rate", "human_error_rate_low": "low", "human_error_rate_high": "high"}
        numbers = {name: error[key] for name, key in names.items()} | {"human_error_rate_count": error["of"]}
        new = tracking.add_artifacts(run_id, [session.path], numbers)
    terminal.echo(f"{'logged to' if new else 'already logged to'} MLflow run {run_id}")
