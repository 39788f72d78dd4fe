"""Blinded visual review: a person classifies images in random order as real or generated."""
