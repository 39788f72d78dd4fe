"""A blinded visual check: real and generated images in random order, and a person who tells them apart."""
