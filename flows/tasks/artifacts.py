"""Artifacts on Prefect's page: scores, samples, and links to the rest."""

import base64
import re
from pathlib import Path

from ddpm.common.files import sha256_bytes
from ddpm.report.page import PAGE
from flows.markdown import escape
from flows.summary import Report, markdown

PICTURE = Path("out/evaluate/pictures/samples.png")
LARGEST_PICTURE = 512 * 1024
"""Bytes of the largest picture kept in Prefect's database; a larger one is linked."""


def publish(report: Report) -> None:
    """Create the artifacts of this flow run; equal keys form a history over runs."""
    from prefect.artifacts import create_image_artifact, create_markdown_artifact

    name = slug(report.registered.name)
    create_markdown_artifact(key=f"{name}-scores", markdown=markdown(report), description="Scores against the gate")
    create_markdown_artifact(key=f"{name}-links", markdown=links(report), description="Where to look next")
    if PICTURE.exists():
        create_image_artifact(key=f"{name}-samples", image_url=picture_url(PICTURE), description="Samples")


def slug(name: str) -> str:
    """The name in the characters that Prefect allows in a key; different names stay different."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return plain if plain == name else f"{plain or 'model'}-{sha256_bytes(name.encode())[:8]}"


def picture_url(path: Path) -> str:
    """The picture as a data URL, or the address of a large file."""
    if path.stat().st_size > LARGEST_PICTURE:
        return path.resolve().as_uri()
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def links(report: Report) -> str:
    """Links to the report page, the model and its run."""
    made = report.registered
    return "\n".join(
        [
            f"- Report: [{PAGE}]({PAGE.resolve().as_uri()}), opens from disk",
            f"- Model: {escape(f'models:/{made.name}/{made.version}')}",
            f"- MLflow run: {escape(made.run_id)} (`ddpm ui` shows it)",
        ]
    )
