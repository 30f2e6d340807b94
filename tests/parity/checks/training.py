"""Several optimizer steps from the same weights: losses, groups, rates, what is learnt."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jobs.contract.spec import DataSet, Train
from jobs.optimizer import build_optimizer, lr_multiple
from model.batch import ChatBatch
from model.layouts import from_reference
from model.video_chat import VideoChat
from tests.parity.chat import build_model, form_of, pixels
from tests.parity.checks.stage2 import caption_batch
from tests.parity.checks.stage3 import around_media, conversation_batch, segments_of
from tests.parity.conversation import parts_of
from tests.parity.findings import Finding, compare, same
from tests.parity.forward import RELATIVE_GRADIENT, our_names
from tests.parity.vectors import Vector

FINAL = "final."
SHIFTS_NOTHING = ".key.bias"
"""Their gradient is zero but for rounding, which Adam blows up (see the vectors' notes)."""


def recognises(vector: Vector) -> bool:
    """Steps with losses, and what they make of the parameters."""
    return {"steps", "final_param_norms", "optimizer_groups"} <= set(vector.facts)


def check(vector: Vector) -> Iterator[Finding]:
    """Groups, then every step, then the parameters."""
    stage = 2 if "captions" in vector.facts["steps"][0] else 3
    model = build_model(vector, stage=stage, bos="reference").train()
    recipe = _recipe(vector, stage)
    optimizer = build_optimizer(model, recipe)
    yield from _group_findings(vector, optimizer)
    first = {name: each.detach().clone() for name, each in model.named_parameters()}
    for facts in vector.facts["steps"]:
        yield from _step_findings(vector, facts, model, optimizer, recipe)
    yield from _parameter_findings(vector, dict(model.named_parameters()), first)


def _recipe(vector: Vector, stage: int) -> Train:
    given = vector.facts["config"]
    return Train(
        entry="stage2" if stage == 2 else "stage3",
        lr=given["optimizer"]["lr"],
        weight_decay=given["optimizer"]["weight_decay"],
        epochs=given["scheduler"]["epochs"],
        lr_floor=given["scheduler"]["min_lr_multi"],
        warmup_epochs=given["scheduler"]["warmup_epochs"],
        batch_per_gpu=1,
        data=(DataSet(annotations=Path("not-read.json")),),
    )


def _group_findings(vector: Vector, optimizer: torch.optim.Optimizer) -> Iterator[Finding]:
    got = [
        {
            "weight_decay": group["weight_decay"],
            "n_tensors": len(group["params"]),
            "n_params": sum(each.numel() for each in group["params"]),
        }
        for group in optimizer.param_groups
    ]

    def decay(group: Mapping[str, Any]) -> float:
        return float(group["weight_decay"])

    want = vector.facts["optimizer_groups"]
    yield same("optimizer_groups", sorted(got, key=decay), sorted(want, key=decay))


def _step_findings(
    vector: Vector,
    facts: Mapping[str, Any],
    model: VideoChat,
    optimizer: torch.optim.Optimizer,
    recipe: Train,
) -> Iterator[Finding]:
    step, scheduled = facts["step"], vector.facts["config"]["scheduler"]
    multiple = lr_multiple(
        step,
        warmup_steps=scheduled["num_warmup_steps"],
        total_steps=scheduled["num_training_steps"],
        floor=recipe.lr_floor,
    )
    yield compare(f"step {step}.lr", recipe.lr * multiple, facts["lr"], 1e-12)
    for group in optimizer.param_groups:
        group["lr"] = recipe.lr * multiple
    yield from _text_findings(vector, facts)
    batch = _batch(vector, facts, model.cfg.video_encoder.image_size)
    if batch.labels is None:
        raise ValueError("a batch to train on has labels")
    yield same(f"step {step}.labels", batch.labels, vector.tensors[f"step{step}.labels"])
    loss = model(batch)["loss"]
    yield compare(f"step {step}.loss", loss, facts["loss"], _loss_tolerance(vector))
    optimizer.zero_grad()
    loss.backward()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    norm = math.sqrt(sum(float(each.double().square().sum()) for each in gradients))
    want = facts["grad_norm_global"]
    yield compare(f"step {step}.grad_norm_global", norm, want, RELATIVE_GRADIENT * want)
    optimizer.step()


def _text_findings(vector: Vector, facts: Mapping[str, Any]) -> Iterator[Finding]:
    if "conversation" not in facts:
        return
    form = form_of(vector)
    segments = segments_of(form, parts_of(form, facts["conversation"]))
    said = ["".join(around_media(each)) for each in segments]
    yield same(f"step {facts['step']}.conversation", said, facts["conversation"])


def _batch(vector: Vector, facts: Mapping[str, Any], size_px: int) -> ChatBatch:
    video = pixels(vector.tensors[f"step{facts['step']}.image_u8"], size_px)
    if "captions" in facts:
        batch = caption_batch(vector, facts["prompt"], facts["captions"])
    else:
        batch = conversation_batch(vector, parts_of(form_of(vector), facts["conversation"]))
    return replace(batch, video=video)


def _loss_tolerance(vector: Vector) -> float:
    """As the vectors suggest: ten times what float64 changes, at least 5e-5."""
    measured = vector.facts["tolerance"]["measured_against_a_float64_run"]
    return max(5e-5, 10 * max(abs(each) for each in measured["loss_minus_float64_run"]))


def _parameter_findings(
    vector: Vector, last: Mapping[str, torch.Tensor], first: Mapping[str, torch.Tensor]
) -> Iterator[Finding]:
    """Every parameter's length and how far it moved; those that the vector holds, whole."""
    measured = vector.facts["tolerance"]["measured_against_a_float64_run"]
    tolerance = 10 * measured["max_abs_param_difference_without_qformer_key_bias"]
    norms = vector.facts["final_param_norms"]
    for theirs, ours in our_names(vector, norms).items():
        if theirs.endswith(SHIFTS_NOTHING):
            continue
        now, moved = last[ours].detach().double(), (last[ours] - first[ours]).detach().double()
        # A length is off by no more than all its numbers are.
        length = tolerance * math.sqrt(now.numel())
        want = norms[theirs]
        yield compare(f"{FINAL}{theirs}.l2", now.norm(), want["l2"], length)
        yield compare(f"{FINAL}{theirs}.delta_l2", moved.norm(), want["delta_l2"], length)
    held = {n: t for n, t in vector.tensors.items() if n.startswith(FINAL)}
    for name, want in held.items():
        (ours,) = from_reference({name.removeprefix(FINAL): want})
        yield compare(name, last[ours], want, tolerance)
