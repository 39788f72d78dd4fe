"""Processes, devices and random numbers: the execution of work, independent of what it computes."""
