"""Takes a multi-stage training through Slurm: parse, plan, submit, watch."""

__version__ = "0.1.0"
