"""Fixtures for every test, and how the tests are shared out."""

import os
import signal

import pytest
from hypothesis import settings

from tests.cluster.fixture import slurm
from tests.gpu.marker import pytest_runtest_setup, pytest_terminal_summary
from tests.sharing import Sharing, check_users_of_the_chain, in_order

__all__ = ["pytest_runtest_setup", "pytest_terminal_summary", "slurm"]

# A shell starts what it puts in the background deaf to Ctrl-C, and every child inherits that:
# the tests that press it would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
# A loaded machine is slow, which is no fault of the code under test.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


def pytest_xdist_make_scheduler(config, log):
    return Sharing(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    check_users_of_the_chain(items)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items[:] = in_order(items)
