"""Tests are handed to the workers so that the suite ends soon and nothing is made twice."""

from dataclasses import dataclass, field

import pytest

from tests.sharing import check_users_of_the_chain, in_order, unit_of


@dataclass
class Test:
    """What is looked at of a collected test."""

    __test__ = False
    nodeid: str
    fixturenames: list[str] = field(default_factory=list)
    slow: bool = False

    def get_closest_marker(self, name: str) -> bool:
        return self.slow and name == "slow"


def test_files_stay_whole_with_slow_ones_first_and_those_that_wait_in_between():
    quick, slow, slurm = Test("a.py::1"), Test("b.py::1", slow=True), Test("c.py::1", ["slurm"])
    more = [Test("b.py::2"), Test("c.py::2")]

    ordered = in_order([quick, slow, slurm, *more])

    names = [test.nodeid for test in ordered]
    assert names == ["b.py::1", "b.py::2", "c.py::1", "c.py::2", "a.py::1"]


def test_users_of_the_chain_are_one_unit():
    users = ["tests/jobs/test_chain.py::test_a[1]", "tests/jobs/test_resume.py::test_b"]

    assert {unit_of(user) for user in users} == {"chain"}
    assert unit_of("tests/db/test_engine.py::test_a[x::y]") == "tests/db/test_engine.py"


def test_file_that_would_train_the_chain_once_more_is_named():
    stranger = Test("tests/jobs/test_new.py::test_a", ["run", "chain"])

    with pytest.raises(pytest.UsageError, match=r"test_new\.py: uses the fixture chain; name it"):
        check_users_of_the_chain([stranger])
