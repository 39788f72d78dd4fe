"""Artifacts on Prefect's page: scores, samples, and links."""

import base64
import re
from pathlib import Path

from ddpm.common.files import sha256_bytes
from ddpm.common.markdown import escape
from ddpm.report.page import PAGE
from flows.summary import PipelineResult, to_markdown

PICTURE = Path("out/evaluate/pictures/samples.png")
LARGEST_PICTURE = 512 * 1024
"""Bytes of the largest picture stored in Prefect's database; larger ones are linked."""


def publish(result: PipelineResult) -> None:
    """Create the artifacts of this flow run; equal keys form a history over runs."""
    from prefect.artifacts import create_image_artifact, create_markdown_artifact

    name = slug(result.registered.name)
    create_markdown_artifact(key=f"{name}-scores", markdown=to_markdown(result), description="Scores against the gate")
    create_markdown_artifact(key=f"{name}-links", markdown=links(result), description="Where to look next")
    if PICTURE.exists():
        create_image_artifact(key=f"{name}-samples", image_url=picture_url(PICTURE), description="Samples")


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
    """Links to the report page, the model and its run."""
    made = result.registered
    return "\n".join(
        [
            f"- Report: [{PAGE}]({PAGE.resolve().as_uri()}), opens from disk",
            f"- Model: {escape(f'models:/{made.name}/{made.version}')}",
            f"- MLflow run: {escape(made.run_id)} (`ddpm ui` shows it)",
        ]
    )
