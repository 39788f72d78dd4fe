"""Samplers: plain functions of (denoise, y, sigmas, noise), and the table of their names."""
