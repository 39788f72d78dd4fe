"""Training: the loop, its state and checkpoints, and several processes that share it."""
