"""Fixtures for every test, and how the tests are shared out."""

import os
import signal

import pytest
from hypothesis import settings

from tests.cluster.fixture import slurm
from tests.gpu.marker import pytest_runtest_setup, pytest_terminal_summary
from tests.kernels import use_recorded_kernels
from tests.sharing import Sharing, check_users_of_the_chain, in_order

__all__ = ["pytest_runtest_setup", "pytest_terminal_summary", "slurm"]

use_recorded_kernels()
# A shell starts what it puts in the background deaf to Ctrl-C, and every child inherits that:
# the tests that press it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A loaded machine is slow, which is no fault of the code under test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
# How wide the terminal is must not decide what a table shows; pytest-xdist hands it on.
os.environ.pop("COLUMNS", None)


@pytest.fixture(autouse=True)
def _no_cluster_of_others(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the session's Slurm from a test that does not ask for it, whichever ran before."""
    asks = "slurm" in request.fixturenames or request.node.get_closest_marker("cluster")
    if not asks:
        monkeypatch.delenv("SLURM_CONF", raising=False)


def pytest_xdist_make_scheduler(config, log):
    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    check_users_of_the_chain(items)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = in_order(items)
