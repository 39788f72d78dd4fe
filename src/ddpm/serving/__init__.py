"""A registered model that runs without the project: packing, requests, the pyfunc model."""
