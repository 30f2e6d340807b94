"""A training job on a GPU, and on the CPU by the same code: it tells of itself, stops and saves."""

import os
import signal

import pytest
import torch

from jobs.contract.exits import STOPPED
from jobs.contract.manifest import read_manifest
from jobs.contract.paths import RunFolder
from jobs.data.synthetic import make_set
from jobs.data.tokenizer import build_tokenizer
from jobs.watch.peak import peak_flops
from tests.gpu.marker import DEVICES
from tests.jobs.running import Material, run_stage, started


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Material:
    root = tmp_path_factory.mktemp("material")
    make_set(root / "clips", train=8, test=1, seed=3)
    build_tokenizer().save_pretrained(root / "tokenizer")
    return Material(root / "clips", root / "tokenizer")


@pytest.mark.parametrize("device", DEVICES)
def test_job_tells_of_its_device_and_stops_when_asked_with_all_saved(
    device, material, tmp_path, monkeypatch
):
    if device == "cpu":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    run = RunFolder(tmp_path / "run")
    recipe = material.train("stage1", "train_pairs.json", epochs=1000, compile=False)
    spec = material.spec("s1", **recipe)

    with started(run, spec, ranks=1) as attempt:
        attempt.wait_for("step", 2)
        os.kill(attempt.pid(0), signal.SIGTERM)
        attempt.wait()

    (saved,) = [event.fields for event in attempt.events("exit")]
    told = attempt.events("step")[-1].fields
    assert (attempt.codes, saved["outcome"]) == ([STOPPED], "stopped")
    assert read_manifest(run.stage("s1").checkpoint(saved["step"])) is not None
    assert told["memory_gb"] > 0
    is_known = device == "cuda" and peak_flops(torch.cuda.get_device_name(), "bf16") is not None
    assert ("mfu" in told) == is_known
    assert 0 < told.get("mfu", 0.5) < 1


@pytest.mark.gpu
def test_batches_of_forked_workers_are_pinned_and_the_job_trains_on_the_gpu(material, tmp_path):
    run = RunFolder(tmp_path / "run")
    recipe = material.train("stage1", "train_pairs.json", max_steps=3, epochs=3, workers=2)

    attempt = run_stage(run, material.spec("s1", **recipe), ranks=1)

    steps = [event.fields["step"] for event in attempt.events("step")]
    assert (attempt.codes, attempt.story.outcome, steps[-1]) == ([0], "done", 3)
    assert "pin" not in attempt.log(0).lower()  # torch warns where there is nothing to pin for
    assert attempt.events("step")[-1].fields["memory_gb"] > 0
