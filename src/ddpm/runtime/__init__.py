"""Processes, devices and random numbers: how work runs, not what it computes."""
