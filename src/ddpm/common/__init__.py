"""Leaf modules that any other module may import: files, locks, progress, redaction."""
