"""Optimizer steps, saving and resuming on a GPU, and on the CPU by the same code."""

import json
import math

import pytest
import torch

from tests.gpu.steps import STEPS
from tests.jobs.ranks import run_ranks

MACHINES = [
    "cpu-1",
    pytest.param("cuda-1", marks=pytest.mark.gpu),
    pytest.param("cuda-2", marks=pytest.mark.gpu),
]


@pytest.fixture(scope="module", params=MACHINES)
def machine(request) -> tuple[str, int]:
    """The device and the number of ranks."""
    device, ranks = request.param.split("-")
    if device == "cuda" and torch.cuda.device_count() < int(ranks):
        pytest.skip(f"needs {ranks} GPUs, there are {torch.cuda.device_count()}")
    return device, int(ranks)


@pytest.fixture(scope="module")
def told(machine, tmp_path_factory) -> list[dict]:
    """What each rank found; the processes are shared."""
    device, ranks = machine
    folder = tmp_path_factory.mktemp("steps")
    with pytest.MonkeyPatch.context() as patch:
        if device == "cpu":
            patch.setenv("CUDA_VISIBLE_DEVICES", "")
        run_ranks("../gpu/steps.py", ranks, folder)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(ranks)]


def test_ranks_meet_on_the_device_and_apart_from_it_on_the_host(told, machine):
    device, ranks = machine

    assert [rank["meet"] for rank in told] == [
        {
            "backend": "nccl" if device == "cuda" else "gloo",
            "sum": sum(range(1, ranks + 1)),
            "host": "gloo",
            "news": [[f"of rank {rank}"] for rank in range(ranks)],
        }
    ] * ranks


@pytest.mark.parametrize("stage", [2, 3])
def test_bf16_step_trains_on_the_device_with_fused_adamw(told, machine, stage):
    device, _ = machine

    found = told[0][f"stage{stage}"]

    assert found["facts"] == {
        "device": device,
        "dtype": "torch.bfloat16",
        "fused": True,
        "moments": dict.fromkeys(("step", "exp_avg", "exp_avg_sq"), device),
    }
    losses = [*found["early"], *found["straight"][0]]
    assert len(set(losses)) == STEPS
    assert all(map(math.isfinite, losses))


@pytest.mark.parametrize("stage", [2, 3])
def test_resumed_run_equals_the_straight_one_bit_for_bit(told, stage):
    for rank in told:
        found = rank[f"stage{stage}"]

        assert found["error"] == ""
        assert found["resumed"] == found["straight"]


@pytest.mark.gpu
def test_overflow_in_fp16_skips_the_step_and_halves_the_scale(told, machine):
    if machine[0] == "cpu":
        pytest.skip("needs a GPU: fp16 is refused on a CPU")
    for rank in told:
        *skipped, made = rank["fp16"]

        assert skipped
        assert {(step["why"], step["changed"]) for step in skipped} == {("gradient", False)}
        assert (made["why"], made["changed"]) == ("", True)
        scales = [step["scale"] for step in rank["fp16"]]
        assert scales == [2.0 ** (32 - turn) for turn in range(len(scales))]
