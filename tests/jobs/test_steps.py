"""Optimizer steps with something wrong in them, on two ranks, in each of ZeRO's stages."""

import json
import math
from itertools import pairwise

import pytest
import torch

from jobs.optimizer import build_optimizer
from jobs.steps import seed_generators
from tests.jobs.ranks import run_ranks
from tests.jobs.tiny_training import (
    CASES,
    GROWTH_WINDOW,
    OVERFLOWS,
    RANKS,
    SCRIPT,
    Tiny,
    batch_of,
    collate,
    micro_batches,
    recipe_of,
)

WHY = ["", "loss", "gradient", "", "", "", "", "no_clips", "loss", "", ""]
"""What is to become of each step of the script."""
ATOL = 2e-7
"""Of a weight of about 1: two units in its last place."""
BF16_RTOL = 0.01
"""Of a gradient's norm: bf16 has 8 bits, so each product is off by up to 0.4 %."""
CASE_NAMES = [f"{precision}-{zero}" for precision, zero in CASES]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> list[dict]:
    """What each rank saw of each case; the processes and the slow imports are shared."""
    results = tmp_path_factory.mktemp("results")
    run_ranks("tiny_training.py", RANKS, results)
    return [json.loads((results / f"{rank}.json").read_text()) for rank in range(RANKS)]


def reference() -> list[dict[str, list]]:
    """The weights after each step, by one process with torch's own optimizer.

    A step is the mean of the micro-batches that held anything, clipped; a bad one is left out.
    """
    module, recipe = Tiny(), recipe_of("fp32", 0)
    optimizer = build_optimizer(module, recipe)
    after = []
    for step, why in enumerate(WHY):
        if not why:
            held = [each for rank in range(RANKS) for each in micro_batches(step, rank)]
            losses = [module(**collate(batch))["loss"] for batch in held if batch.samples]
            module.zero_grad(set_to_none=False)
            torch.stack(losses).mean().backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_norm)
            optimizer.step()
        after.append({name: each.tolist() for name, each in module.named_parameters()})
    return after


def reference_losses() -> list[float]:
    """The loss of each step, with the weights that the steps before it left."""
    module, found = Tiny(), []
    for step, weights in enumerate([None, *reference()[:-1]]):
        if weights is not None:
            module.load_state_dict({name: torch.tensor(each) for name, each in weights.items()})
        held = [each for rank in range(RANKS) for each in micro_batches(step, rank)]
        with torch.no_grad():
            losses = [module(**collate(batch))["loss"] for batch in held if batch.samples]
        found.append(float(torch.stack(losses).mean()) if losses else math.nan)
    return found


@pytest.mark.parametrize("case", CASE_NAMES)
def test_ranks_skip_the_same_steps_for_the_same_reason(told, case):
    assert [[step["why"] for step in rank[case]] for rank in told] == [WHY] * RANKS


@pytest.mark.parametrize("case", CASE_NAMES)
def test_skipped_step_leaves_every_weight_as_it_was(told, case):
    after = [step["weights"] for step in told[0][case]]

    changed = [new != old for old, new in pairwise(after)]

    assert changed == [why == "" for why in WHY[1:]]


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_weights_are_those_of_one_process_that_leaves_out_what_is_bad(told, zero_stage):
    for step, wanted in zip(told[0][f"fp32-{zero_stage}"], reference(), strict=True):
        for name, weight in wanted.items():
            torch.testing.assert_close(
                torch.tensor(step["weights"][name]), torch.tensor(weight), atol=ATOL, rtol=0
            )


@pytest.mark.parametrize("case", CASE_NAMES)
def test_gradient_norm_is_told_of_made_steps_alone(told, case):
    norms = [step["grad_norm"] for step in told[0][case]]

    assert [norm is not None and 0 < norm < math.inf for norm in norms] == [
        why == "" for why in WHY
    ]


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_bf16_steps_follow_those_of_fp32(told, zero_stage):
    kept = [step["grad_norm"] for step in told[0]["fp32-1"] if not step["why"]]

    norms = [step["grad_norm"] for step in told[0][f"bf16-{zero_stage}"] if not step["why"]]

    assert norms == pytest.approx(kept, rel=BF16_RTOL)


def test_losses_name_the_micro_batch_that_was_bad(told):
    lost, unreadable = told[1]["fp32-1"][1], told[0]["fp32-1"][7]

    assert [math.isnan(loss) for loss in lost["losses"]] == [True, False]
    assert unreadable["losses"] == [None, None]


@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_loss_told_is_the_mean_of_what_all_ranks_could_read(told, zero_stage):
    made = [step for step, why in enumerate(WHY) if not why]

    losses = [[rank[f"fp32-{zero_stage}"][step]["loss"] for step in made] for rank in told]

    assert losses[0] == losses[1] == pytest.approx([reference_losses()[step] for step in made])


def test_script_holds_a_loss_that_is_lost_without_its_gradient():
    module = Tiny()

    module(**collate(batch_of("lost", 1)))["loss"].backward()

    assert all(bool(each.grad.isfinite().all()) for each in module.parameters())
    assert len(SCRIPT) == len(WHY)


def test_loss_scale_of_fp16_goes_as_torchs_own_at_most_a_step_later(told):
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, growth_interval=GROWTH_WINDOW)
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    theirs = []

    for overflows in OVERFLOWS:
        optimizer.zero_grad()
        scaler.scale(weight.sum() * (math.inf if overflows else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        theirs.append(scaler.get_scale())

    # DeepSpeed does not count the first good step after an overflow: it doubles one step later.
    later = [
        now if overflows else before
        for before, now, overflows in zip([0.0, *theirs], theirs, OVERFLOWS, strict=False)
    ]
    assert told[0]["scales"] == later


def test_seeded_generator_draws_what_torch_draws_with_the_seed():
    torch.manual_seed(7)
    wanted = torch.rand(8)

    seed_generators(7)

    assert torch.equal(torch.rand(8), wanted)
