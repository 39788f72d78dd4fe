"""Verification before any alias moves: a version must load and sample where this project is not installed."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ddpm.common.redact import redact_text
from ddpm.common.units import duration
from ddpm.registry.versions import FAILED_TAG, VERIFIED_TAG, RegistryError, annotate, version
from ddpm.tracking import store

CHILD = Path(__file__).parents[1] / "serving" / "clean_process.py"
TIME_LIMIT = 600.0
KEPT_LINES = 6


class VerificationError(RegistryError):
    """The version cannot be used; the message ends with the error output of its process."""


def verify(name: str, number: int, *, again: bool = False, time_limit: float = TIME_LIMIT) -> dict[str, Any]:
    """Load the version and sample from it in a clean process: isolated Python, empty folder, only the code packed with
    the model importable. Returns the findings and tags the version with them.

    A verified version is loaded only with `again`. Raises VerificationError, RegistryError.
    """
    known = version(name, number)
    if known.verified and not again:
        return known.json_tag(VERIFIED_TAG)
    uri = f"models:/{name}/{number}"
    started = time.monotonic()
    answer = _in_clean_process(uri, time_limit)
    try:
        facts = _facts(uri, answer)
    except VerificationError as error:
        annotate(name, number, {FAILED_TAG: str(error)[-2000:]})
        raise
    facts["seconds"] = round(time.monotonic() - started, 1)
    annotate(name, number, {VERIFIED_TAG: json.dumps(facts)})
    if FAILED_TAG in known.tags:
        store.client().delete_model_version_tag(name, str(number), FAILED_TAG)
    return facts


def _in_clean_process(uri: str, time_limit: float) -> subprocess.CompletedProcess[str]:
    """Run `serving/clean_process.py` with `python -I`, which ignores PYTHONPATH and the current folder."""
    store.quiet()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["MLFLOW_TRACKING_URI"] = store.tracking_uri()
    with tempfile.TemporaryDirectory() as folder:
        try:
            return subprocess.run(
                [sys.executable, "-I", str(CHILD), uri, str(os.getpid())],
                cwd=folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=time_limit,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise VerificationError(f"{uri} did not load and sample within {duration(time_limit)}; stopped") from error


def _facts(uri: str, answer: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    if answer.returncode != 0:
        output = redact_text("\n".join(answer.stderr.strip().splitlines()[-KEPT_LINES:]))
        raise VerificationError(
            f"{uri} cannot be loaded and sampled in a clean process (status {answer.returncode}):\n{output}"
        )
    try:
        facts: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
        problem = _problem(facts)
    except (ValueError, LookupError, TypeError) as error:
        raise VerificationError(f"{uri} loads, but its process did not report its samples ({error!r})") from error
    if problem:
        raise VerificationError(f"{uri} loads, but {problem}. It was not promoted.")
    return facts


def _problem(facts: dict[str, Any]) -> str | None:
    """Describe a fault of the samples; None without one."""
    if facts["dtype"] != facts["expected_dtype"]:
        return f"its samples are {facts['dtype']}, not {facts['expected_dtype']}"
    if len(facts["shape"]) < 3 or facts["shape"] != facts["expected"]:
        return f"its samples have the shape {facts['shape']} instead of {facts['expected']}"
    if facts["constant"]:
        return "it generates samples of a single value"
    return None
