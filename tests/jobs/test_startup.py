"""Where the seconds of a start go, and what is kept from taking any."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.startup import Clock, process_age_s

ROOT = Path(__file__).parents[2]


def run(script: str) -> str:
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_age_of_a_process_counts_from_its_beginning_and_not_from_the_first_question():
    slept = (
        "import time; time.sleep(0.3); from jobs.startup import process_age_s as age; print(age())"
    )
    began = time.monotonic()

    age_s = float(run(slept))

    assert 0.3 <= age_s <= time.monotonic() - began + 0.02  # the kernel counts hundredths


def test_parts_of_a_start_add_up_from_the_beginning_of_the_process():
    clock = Clock()

    clock.mark("launch")
    time.sleep(0.02)
    clock.mark("first_step", of_it={"first_batch": 0.015})

    assert list(clock.parts) == ["launch", "first_batch", "first_step"]
    assert clock.parts["first_batch"] == 0.015
    assert clock.parts["first_step"] >= 0.005
    assert clock.total_s == pytest.approx(process_age_s(), abs=0.05)


def test_part_that_is_marked_twice_is_the_sum_of_both():
    clock = Clock()
    clock.mark("launch")

    clock.mark("data", of_it={"model": 1.0})
    clock.mark("data", of_it={"model": 2.0})

    assert clock.parts["model"] == 3.0


def test_engine_is_made_without_loading_torchs_compiler_which_stays_of_use():
    script = (
        "import os, sys\n"
        "from jobs.startup import import_without_inductor\n"
        "import_without_inductor('deepspeed.runtime.zero.muon.original_muon')\n"
        "import deepspeed.runtime.zero.muon.muon_optimizer\n"  # as making an engine does
        "muon = 'deepspeed.runtime.zero.muon.original_muon' in sys.modules\n"
        "inductor = 'torch._inductor.compile_fx' in sys.modules\n"
        "print(muon, inductor, 'TORCHDYNAMO_DISABLE' in os.environ)"
    )

    assert run(script).splitlines()[-1] == "True False False"
