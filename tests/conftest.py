"""Fixtures for every test."""

import signal

from tests.cluster.fixture import slurm

__all__ = ["slurm"]

# A shell starts what it puts in the background deaf to Ctrl-C, and every child inherits that:
# the tests that press it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
