"""Fixtures for the tests of the test cluster itself."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """An empty folder for a cluster; `tmp_path` is too long for its sockets under pytest-xdist."""
    with tempfile.TemporaryDirectory(prefix="of-a-test-") as folder:
        yield Path(folder).resolve()
