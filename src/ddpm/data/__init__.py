"""Users' images: found, checked, brought to one shape, and kept as one array."""
