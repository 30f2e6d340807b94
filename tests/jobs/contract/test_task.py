"""The callable that submitit pickles."""

import pickle
import subprocess
import sys
from pathlib import Path

import cloudpickle

from jobs.contract.task import StageTask

LOADED = """
import pkgutil, importlib, sys, jobs.contract
for found in pkgutil.iter_modules(jobs.contract.__path__, "jobs.contract."):
    importlib.import_module(found.name)
heavy = {"torch", "numpy", "transformers", "deepspeed", "decord"}
print("jobs.contract.task" in sys.modules, sorted(heavy & set(sys.modules)))
"""


def test_task_pickles_small_and_comes_back_equal():
    task = StageTask(Path("/shared/runs/20260101-abc"), "stage2", 3, "stage2-01HX")

    pickled = cloudpickle.dumps(task)

    assert pickle.loads(pickled) == task
    assert len(pickled) < 500


def test_contract_loads_nothing_heavy():
    done = subprocess.run(
        [sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=180, check=True
    )

    assert done.stdout == "True []\n"
