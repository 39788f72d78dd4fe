"""Names of metrics as MLflow takes them: names that differ stay different, in every script."""

import posixpath
import re

from ddpm.common.files import sha256_bytes

LONGEST = 250
"""Characters that MLflow keeps."""
CURVES, SCORES = "train/", "eval/"
"""Sections of a run's page, by prefix: values over a training, and the main scores of its evaluation."""
TAGS_FOR_READERS = {
    "Model": "not registered", "Version": "not registered", "Verdict": "not judged", "Score": "not measured",
    "Data": "not recorded",
}  # fmt: skip
"""Tags of a new run with their first values. MLflow's page shows tags in the order of their creation, so these lead."""
MAIN_SCORES = (
    "fid", "fid_equal_counts", "kid", "precision", "recall", "density", "coverage", "inception_score",
    "class_accuracy", "memorisation_ratio",
)  # fmt: skip
"""The numbers of metrics.json that become metrics of the run; the artifact metrics.json has all of them."""


def metric_name(name: str) -> str:
    """The name with `_u<hex>_` for each character that MLflow refuses; letters of any script are kept.

    An underscore that would begin such a code is written so too, which makes the code unique. A name that is too long
    ends with its SHA-256.
    """
    path = posixpath.normpath(name) != name or name.startswith(("/", "..")) or name == "."  # MLflow would refuse it
    kept = r"\w -" if path else r"\w. /-"
    text = re.sub(rf"_(?=u[0-9a-f]+(?:_|[^{kept}]))|[^{kept}]", lambda found: f"_u{ord(found[0]):x}_", name)
    return (
        text if len(text) <= LONGEST else f"{text[: LONGEST - 65]}_{sha256_bytes(name.encode(errors='surrogatepass'))}"
    )
