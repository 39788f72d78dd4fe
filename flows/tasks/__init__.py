"""Tasks of the flows: each one step, safe to repeat, that ends in a state named by what it did."""
