"""Denoising diffusion models of a person's images: trained, measured, promoted, reproducible."""

import os

# Read by OpenMP when torch loads: threads that wait must sleep. Spinning ones make a shared machine many times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
