"""Images of a person: found, checked, made equal in shape, and kept as one array."""
