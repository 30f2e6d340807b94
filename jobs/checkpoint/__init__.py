"""The state of a training run: to the disk and back, on any number of ranks."""
