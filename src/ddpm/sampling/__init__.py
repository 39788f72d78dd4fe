"""Drawing from a model: options, checks, images from seeds, interpolation, likelihood."""
