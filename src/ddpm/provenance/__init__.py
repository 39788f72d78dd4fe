"""Provenance of results: code, uncommitted changes, data, parameters, machine."""
