"""The session's cluster as a pytest fixture; `tests/conftest.py` shows it to every test."""

import os
from collections.abc import Iterator

import pytest

from tests.cluster.errors import SlurmClusterError
from tests.cluster.slurm_cluster import SlurmCluster

__all__ = ["slurm"]


@pytest.fixture(scope="session")
def slurm() -> Iterator[SlurmCluster]:
    """A running cluster, started by the first test that asks and named in `os.environ`.

    Where it cannot start, each test that asks fails with one line. It never skips.
    """
    cluster = SlurmCluster()
    try:
        cluster.start()
    except SlurmClusterError as error:
        pytest.fail(str(error), pytrace=False)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        # Left over from a shell inside another cluster's job, they would be sbatch's options.
        for name in [name for name in os.environ if name.startswith(("SBATCH_", "SLURM_JOB"))]:
            patch.delenv(name)
        yield cluster
    cluster.stop()
