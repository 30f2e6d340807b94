"""How the tests are shared out among the workers of pytest-xdist (`-n`), and in which order.

A worker takes whole files, so that a module's fixtures are made once; files whose tests stand on
the same long training go to one worker. Slow files come first, for a short end, and those that
wait for Slurm alternate with those that compute, so that the cores are never idle for long.
"""

from collections import Counter
from itertools import chain, zip_longest

import pytest
from xdist.scheduler import LoadFileScheduling

CHAIN_USERS = (
    "tests/jobs/test_chain.py",
    "tests/jobs/test_evaluate.py",
    "tests/jobs/test_evaluate_kinds.py",
    "tests/jobs/test_resume.py",
)
"""Files with tests that ask for the fixture `chain`, a minute of training."""


def unit_of(node_id: str) -> str:
    """Give what a test is handed out together with: its file, or a group of files."""
    file = node_id.partition("::")[0]
    return "chain" if file in CHAIN_USERS else file


class Sharing(LoadFileScheduling):
    """Hands out the units, one after another in the order of the tests."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def check_users_of_the_chain(items: list[pytest.Item]) -> None:
    """Say which file would train the chain once more.

    Raises:
        pytest.UsageError: When a file outside `CHAIN_USERS` asks for the chain.
    """
    asking = {item.nodeid.partition("::")[0] for item in items if "chain" in fixtures(item)}
    if strangers := asking.difference(CHAIN_USERS):
        raise pytest.UsageError(
            f"{', '.join(sorted(strangers))}: uses the fixture chain; name it in CHAIN_USERS of "
            "tests/sharing.py, so that the chain is trained once"
        )


def fixtures(item: pytest.Item) -> list[str]:
    """Give the names of the fixtures that a test asks for, by itself or through others."""
    return getattr(item, "fixturenames", [])


def in_order(items: list[pytest.Item]) -> list[pytest.Item]:
    """Give the tests with their units in the order in which these are handed out."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(unit_of(item.nodeid), []).append(item)
    slow = Counter(unit_of(item.nodeid) for item in items if item.get_closest_marker("slow"))
    slowest_first = sorted(units, key=lambda unit: -slow[unit])
    waits = {unit: any("slurm" in fixtures(item) for item in units[unit]) for unit in units}
    waiting = [unit for unit in slowest_first if waits[unit]]
    computing = [unit for unit in slowest_first if not waits[unit]]
    alternating = chain.from_iterable(zip_longest(computing, waiting))
    return [item for unit in alternating if unit is not None for item in units[unit]]
