"""The mathematics: noise schedules, the denoiser and its loss, samplers, guidance.

Everything works in `y = x0 + sigma * eps` with images in [-1, 1]. The variance-preserving chain of DDPM is the same
thing in other coordinates: `x_t = y / sqrt(1 + sigma^2)` with `sigma_t = sqrt((1 - abar_t) / abar_t)`.
"""
