"""Fixtures for every test."""

from tests.cluster.fixture import slurm

__all__ = ["slurm"]
