"""Scores of image sets: feature extractors, distances, neighbours, memorisation, their floors, and comparison."""
