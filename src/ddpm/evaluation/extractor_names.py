"""Names of extractors for `ddpm score`; imports no torch."""

FEATURES = "out/features"
"""Folder of a project's extractor."""
KINDS = (
    f"efficientnet-lite0, classifier (of {FEATURES}), classifier:FOLDER, inception, inception:FILE, dinov2, dinov2:FILE"
)
