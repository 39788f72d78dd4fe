"""Registered models that run without the project: packing, requests, the pyfunc model."""
