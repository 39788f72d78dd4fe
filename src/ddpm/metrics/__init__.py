"""Scores of image sets: feature extractors, Fréchet distance, Inception Score, class shares, nearest neighbours."""
