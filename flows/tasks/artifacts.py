"""Artifacts on Prefect's page: samples, verdict, scores and links on one page, and the history of samples."""

import base64
import re
from pathlib import Path

from ddpm.common.files import sha256_bytes
from ddpm.common.markdown import escape
from ddpm.common.terminal import field
from ddpm.report.page import PAGE
from flows.summary import PipelineResult, heading, to_markdown

PICTURE = Path("out/evaluate/pictures/samples.png")
LARGEST_PICTURE = 512 * 1024
"""Bytes of the largest picture stored in Prefect's database; larger ones are linked."""


def publish(result: PipelineResult) -> None:
    """Create the artifacts of this flow run; equal keys form a history over runs."""
    from prefect.artifacts import create_image_artifact, create_markdown_artifact

    name, made = slug(result.registered.name), result.registered
    title = f"{made.name} version {made.version}: {heading(result.verdict)[1]}"
    if PICTURE.exists():
        create_image_artifact(key=f"{name}-samples", image_url=picture_url(PICTURE), description="Samples")
    create_markdown_artifact(key=f"{name}-scores", markdown=page(result), description=field(title))


def page(result: PipelineResult) -> str:
    """The samples, then verdict, scores and links, in Markdown; a large picture is left to its own artifact."""
    parts = [to_markdown(result), links(result)]
    if PICTURE.exists() and PICTURE.stat().st_size <= LARGEST_PICTURE:
        parts.insert(0, f"![samples]({picture_url(PICTURE)})")
    return "\n\n".join(parts)


def slug(name: str) -> str:
    """The name in the characters that Prefect allows in a key; different names get different keys."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain if plain == name else f"{plain or 'model'}-{sha256_bytes(name.encode())[:8]}"


def picture_url(path: Path) -> str:
    """The picture as a data URL, or the file URL of a large one."""
    if path.stat().st_size > LARGEST_PICTURE:
        return path.resolve().as_uri()
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def links(result: PipelineResult) -> str:
    """Where the model, its run and the report are; a link where a server has the page."""
    from ddpm import tracking

    made = result.registered
    model, run = escape(f"models:/{made.name}/{made.version}"), f"MLflow run {escape(made.run_id)}"
    if address := tracking.run_page(made.run_id):
        run = f"[MLflow run {escape(made.run_id)}]({address})"
    else:
        run += ", which `ddpm ui` shows"
    return "\n".join([f"- Model: {model}", f"- {run}", f"- Report: {PAGE} in the project, and in that run"])
