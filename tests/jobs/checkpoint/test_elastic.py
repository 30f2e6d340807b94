"""What some ranks have saved goes on in others: exactly on as many, closely on more or fewer."""

import json

import pytest

from tests.jobs.checkpoint.elastic import CASES
from tests.jobs.ranks import run_ranks

SCRIPT = "checkpoint/elastic.py"
CASE_NAMES = ["-".join(map(str, case)) for case in CASES]
SAVED_BY = 2
LOSS_RTOL = {"fp32": 1e-6, "bf16": 0.02}
"""Sums over ranks in another order: one unit in the last place in fp32; bf16 has 8 bits."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("elastic")
    run_ranks(SCRIPT, SAVED_BY, folder, "save")
    for world_size in (SAVED_BY, 1, 3):
        run_ranks(SCRIPT, world_size, folder, "load")
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.mark.parametrize("case", CASE_NAMES)
def test_same_ranks_go_on_bit_for_bit(told, case):
    assert told[f"load-{SAVED_BY}"][case] == told[f"save-{SAVED_BY}"][case]


@pytest.mark.parametrize("world_size", [1, 3])
@pytest.mark.parametrize("case", CASE_NAMES)
def test_other_ranks_go_on_with_the_same_losses(told, case, world_size):
    wanted, got = (
        [float.fromhex(loss) for loss in told[name][case]["losses"]]
        for name in (f"save-{SAVED_BY}", f"load-{world_size}")
    )

    assert got == pytest.approx(wanted, rel=LOSS_RTOL[case.split("-")[0]])


def test_losses_tell_a_step_from_another(told):
    losses = told[f"save-{SAVED_BY}"]["fp32-1"]["losses"]

    assert len({float.fromhex(loss) for loss in losses}) == len(losses)
