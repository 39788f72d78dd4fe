"""Evaluation: extractor and reference on disk, drift, and the promotion gate."""
