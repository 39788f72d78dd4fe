"""Model card of a version: verdict, scores, data, use, limits. Shown in MLflow and kept with the packed model.

The text depends only on the record, so the same record gives the same card. A description that a user wrote or changed
is never replaced.
"""

import json
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddpm.common import files
from ddpm.common.markdown import escape
from ddpm.common.terminal import field
from ddpm.common.units import score_number
from ddpm.evaluation import score_text
from ddpm.evaluation.score_record import ScoreRecord, fid_name, measured
from ddpm.evaluation.score_text import NAMES
from ddpm.registry import logged_model
from ddpm.registry.evidence import REASONS_TAG, VERDICT_TAG
from ddpm.registry.versions import Version, status, version
from ddpm.tracking import store
from ddpm.tracking.log import log_tags
from ddpm.tracking.record import NOTE_TAG
from ddpm.tracking.sync import DIGEST_TAG, first_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FILE = "MODEL_CARD.md"
CARD_TAG, NAME_TAG = "ddpm.card", "ddpm.name"
"""SHA-256 of the description, and the name, that this program wrote last: others are a user's."""
PICTURE = "evaluate/pictures/samples.png"
SCORES = (
    "fid", "kid", "precision", "recall", "density", "coverage", "inception_score", "class_accuracy",
    "memorisation_ratio",
)  # fmt: skip
LIMITS = """\
Generates images like those of its data set, for research and testing. It reproduces what the data contain: their \
classes, quality and bias. Its images are not evidence of anything real, and single ones may resemble training images \
(see the memorisation ratio). Scores of different extractors, image counts or reference sets cannot be compared."""
MOST_CLASSES = 30
"""Class names in a card."""
LONGEST = 4800
"""Characters of a description: MLflow's PostgreSQL tables keep 5,000."""


def describe(name: str, number: int) -> str:
    """Write the card of a version to the version, its run and its files, and return it; "" for a version without a run.

    The version also gets its entry in the experiment's list of models (`logged_model`). The registered model shows the
    card of its champion, or of this version if it has none. The run gets a name and tags that people read. Safe to
    repeat.
    """
    connection = store.client()
    found = version(name, number)
    if not found.run_id:
        return ""
    run = connection.get_run(found.run_id)
    text = card(found, run)
    shown = text if len(text) <= LONGEST else f"{text[:LONGEST]}\n\n... ({FILE} of the version has the rest)\n"
    folder = found.source.removeprefix(f"{run.info.artifact_uri}/")
    if folder != found.source and found.tags.get(CARD_TAG) != _digest(shown):
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / FILE
            file.write_text(text, encoding="utf-8")
            connection.log_artifact(found.run_id, str(file), folder)
    logged_model.show(connection, run, found)
    _describe_run(connection, run, found, shown)
    _describe_version(connection, found, shown)
    if status(name).aliases.get("champion", number) == number:
        _describe_model(connection, name, shown)
    return text


def card(found: Version, run: "Run") -> str:
    """Compose the card in Markdown."""
    model = shlex.quote(field(f"models:/{found.name}/{found.number}"))
    picture = f"get-artifact?path={PICTURE}&run_uuid={run.info.run_id}"
    parts = [
        f"# {escape(found.name)} version {found.number}",
        _verdict(found),
        f"![Samples: {PICTURE} of MLflow run {run.info.run_id}]({picture})",
        "## Scores",
        _score_table(found.scores),
        "## Data",
        _data(found, run),
        "## Intended use and limits",
        LIMITS,
        "## Use",
        f"    ddpm sample --model {model} --count 64 --out samples.png\n"
        f"    ddpm lineage {model}\n"
        f"    ddpm reproduce {model}",
    ]
    return "\n\n".join(parts) + "\n"


def fid_text(scores: ScoreRecord) -> str:
    """Format FID with its conditions, `FID (classifier, 2,000 images) 30.1`; "" without FID."""
    return "" if scores.fid is None else f"{field(fid_name(scores.conditions))} {score_number(scores.fid)}"


def _verdict(found: Version) -> str:
    """The gate's verdict and its reasons."""
    if VERDICT_TAG not in found.tags:
        return "Verdict of the gate: **not judged yet**"
    reasons = [f"- {escape(each)}" for each in found.tags.get(REASONS_TAG, "").split("; ") if each]
    return "\n".join([f"Verdict of the gate: **{escape(found.tags[VERDICT_TAG])}**", "", *reasons])


def _score_table(scores: ScoreRecord) -> str:
    """The main scores with their spread over blocks of seeds, and the same score of real images."""
    lines = [
        f"Measured with {escape(measured(scores.conditions))}.",
        "",
        "| score | value | spread | real images |",
        "|---|--:|--:|--:|",
    ]
    for key in SCORES:
        if (value := scores.value(key)) is not None:
            name, spread = NAMES[key], scores.spread.get(key)
            shown = "-" if spread is None else f"± {score_text.text(name, spread, digits=2)}"
            real = score_text.text(name, scores.real(key)) or "-"
            lines.append(f"| {name} | {score_text.text(name, value)} | {shown} | {real} |")
    blocks = f"Spread: standard deviation over {scores.blocks} blocks of seeds." if scores.spread else ""
    return "\n".join([*lines, "", blocks]).rstrip()


def _data(found: Version, run: "Run") -> str:
    """Size, classes, hash and commit of the training data."""
    tags = {**run.data.tags, **found.tags}
    sources = {"DVC hash": "ddpm.data_hash", "commit": "ddpm.git_sha"}
    facts = [f"{title} {escape(tags.get(tag, 'none'))}" for title, tag in sources.items()]
    if counts := _dataset(run):
        side, channels = counts["resolution"], counts["channels"]
        what = f"images of {side} x {side} pixels, {channels} channel(s)"
        if counts.get("kind") == "series":
            what = f"windows of {side} rows, {channels} column(s)"
        facts.insert(0, f"{counts['images']:,} {what}")
    if names := found.classes:
        shown = ", ".join(map(escape, names[:MOST_CLASSES])) + (", ..." if len(names) > MOST_CLASSES else "")
        facts.append(f"{len(names)} classes: {shown}")
    return "\n".join(f"- {each}" for each in facts)


def _dataset(run: "Run") -> Mapping[str, Any]:
    """Counts of the data set that the run names; empty for a run of an older version."""
    for each in run.inputs.dataset_inputs if run.inputs else ():
        found = json.loads(each.dataset.profile or "{}")
        if isinstance(found, dict) and {"images", "resolution", "channels"} <= set(found):
            return found
    return {}


def _describe_run(connection: "MlflowClient", run: "Run", found: Version, text: str) -> None:
    """Name and describe a run, and set the tags that people read."""
    tags, run_id = run.data.tags, run.info.run_id
    score = fid_text(found.scores)
    title = ", ".join(filter(None, [f"{found.name} v{found.number}", score]))
    written = {first_name(tags.get(DIGEST_TAG, "")), tags.get(NAME_TAG)}
    if run.info.run_name in written and run.info.run_name != title:
        connection.update_run(run_id, name=title)
    counts = _dataset(run)
    shown = {
        "Model": found.name, "Version": str(found.number), "Verdict": found.tags.get(VERDICT_TAG, ""), "Score": score,
        "Data": f"{counts['images']:,} images" if counts else "", NAME_TAG: title,
    }  # fmt: skip
    if _ours(tags.get(NOTE_TAG, ""), tags.get(CARD_TAG), text):
        shown |= {NOTE_TAG: text, CARD_TAG: _digest(text)}
    log_tags(connection, run_id, {key: value for key, value in shown.items() if value and tags.get(key) != value})


def _describe_version(connection: "MlflowClient", found: Version, text: str) -> None:
    known = connection.get_model_version(found.name, str(found.number)).description or ""
    if _ours(known, found.tags.get(CARD_TAG), text):
        if known != text:
            connection.update_model_version(found.name, str(found.number), text)
        connection.set_model_version_tag(found.name, str(found.number), CARD_TAG, _digest(text))


def _describe_model(connection: "MlflowClient", name: str, text: str) -> None:
    model = connection.get_registered_model(name)
    if _ours(model.description or "", model.tags.get(CARD_TAG), text):
        if model.description != text:
            connection.update_registered_model(name, text)
        connection.set_registered_model_tag(name, CARD_TAG, _digest(text))


def _ours(known: str, written: str | None, text: str) -> bool:
    """Whether a description is empty or by this program: the last one, one of older versions, or `text` itself."""
    return known in {"", text} or known.startswith("FID (") or _digest(known) == written


def _digest(text: str) -> str:
    return files.sha256_bytes(text.encode())
