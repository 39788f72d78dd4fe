"""Restoration of users' images: tasks and their checks, inputs, computation, outputs."""
