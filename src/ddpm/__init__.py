"""Denoising diffusion models of a person's images: trained, measured, promoted, reproducible."""

import os

# Read by OpenMP (GNU's) when torch loads: a waiting thread spins briefly, then sleeps. Spinning on is many times slower
# on a shared machine; sleeping at once loses nearly half of the speed on a quiet one.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
