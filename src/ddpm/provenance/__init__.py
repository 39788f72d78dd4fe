"""Provenance: which checkout's code runs, and what a result was made from."""
