"""Leaf modules that any other may use: files, locks, progress, redaction."""
