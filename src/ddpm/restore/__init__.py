"""Restoration of a person's pictures: tasks and their checks, files in, the work, files out."""
