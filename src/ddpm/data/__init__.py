"""Users' images: discovery, checks, conversion to one shape, storage as one array."""
