"""How weights/tiny is made: `make weights`, with a few steps on the demo's clips."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs.build import chat_tokenizer, model_config
from jobs.check_weights import find_faults
from jobs.contract.spec import Model
from model.language_model import build_language_model
from tests.e2e.conftest import ROOT, Program

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("demo_data")]


def run_module(*words: str) -> None:
    subprocess.run([sys.executable, "-m", *words], cwd=ROOT, check=True, timeout=120)


def test_weights_pipeline_makes_files_that_the_demo_can_start_from(
    program: Program, tmp_path: Path
):
    tiny = tmp_path / "tiny"
    run_module("jobs.data.tokenizer", str(tiny))
    run_module("jobs.data.text", str(tmp_path / "text.json"), "--rows", "128")
    values = {
        "model.tokenizer": tiny,
        "stages.language_model.train.data.0.annotations": tmp_path / "text.json",
        "stages.motion.train.data.0.annotations": "data/demo/train_motion.json",
        "stages.stage1.train.data.0.annotations": "data/demo/train_pairs.json",
        "stages.language_model.train.max_steps": 2,
        "stages.motion.train.max_steps": 1,
        "stages.stage1.train.max_steps": 1,
    }
    options = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]

    done = program("submit", "pipeline.weights.yaml", *options)

    assert done.returncode == 0, done.stderr
    (run,) = program.runs.glob("tiny-weights-*")
    run_module("jobs.export", str(run), "language_model", str(tiny))
    run_module("jobs.export", str(run), "stage1", str(tmp_path / "stage1.safetensors"))
    wanted = Model(preset="tiny", language_model=tiny)
    assert find_faults(wanted, tmp_path / "stage1.safetensors", "stage2") == []
    assert len(chat_tokenizer(wanted)) == 103
    build_language_model(model_config(wanted).language_model)


def test_shipped_weights_fit_the_demo_and_are_small():
    folder = ROOT / "weights" / "tiny"
    wanted = Model(preset="tiny", language_model=folder / "language_model")

    assert find_faults(wanted, folder / "stage1.safetensors", "stage2") == []
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 10e6
