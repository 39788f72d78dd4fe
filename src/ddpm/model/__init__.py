"""A denoiser from its configuration, and its checkpoint on disk."""
