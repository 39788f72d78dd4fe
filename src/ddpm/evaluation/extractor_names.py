"""Names of extractors for `ddpm score`; imports no torch."""

NAMES = ("efficientnet-lite0", "classifier", "inception", "dinov2")
FEATURES = "out/features"
"""Folder of a project's extractor."""
KINDS = (
    f"efficientnet-lite0, classifier (of {FEATURES}), classifier:FOLDER, inception, inception:FILE, dinov2, dinov2:FILE"
)


def parsed(option: str) -> tuple[str, str]:
    """Split `--extractor NAME:PATH` into name and path, "" without one. Raises ValueError for an unknown name."""
    name, _, path = option.partition(":")
    if name not in NAMES or (name == "efficientnet-lite0" and path):
        raise ValueError(f"--extractor {option} is unknown; possible: {KINDS}")
    return name, path
