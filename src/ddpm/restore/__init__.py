"""Restoration of images: tasks and their checks, inputs, computation, outputs."""
