"""Denoising diffusion models of a person's images: trained, measured, promoted, reproducible."""
