"""Kinds of faults, from the libraries' own exceptions where they can be had here."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from jobs.contract.spec import StageSpec
from jobs.faults import Fault, fault_of
from model.errors import WeightsError

OUT_OF_MEMORY = Fault("out_of_memory")
HARDWARE = Fault("hardware")
LOST_PEER = Fault("hardware", lost_peer=True)
DETERMINISTIC = Fault("deterministic")
OTHER = Fault("")


def allocate_a_petabyte():
    torch.empty(1 << 50)


def multiply_what_does_not_fit():
    torch.ones(2, 3) @ torch.ones(2, 3)


def add_what_does_not_fit():
    torch.ones(2) + torch.ones(3)


def view_what_does_not_fit():
    torch.ones(6).view(4)


def load_weights_of_another_model():
    torch.nn.Linear(2, 2).load_state_dict({"scale": torch.ones(2)})


def load_weights_of_another_size():
    torch.nn.Linear(2, 2).load_state_dict({"weight": torch.ones(3, 2), "bias": torch.ones(2)})


def import_what_is_not_there():
    __import__("no_such_module")


def parse_what_is_no_python():
    compile("def", "x", "exec")


def open_what_is_not_there():
    Path("/no/such/file").read_text()


def validate_what_is_no_specification():
    StageSpec.model_validate({})


@pytest.mark.parametrize(
    ("act", "fault"),
    [
        (allocate_a_petabyte, OUT_OF_MEMORY),
        (multiply_what_does_not_fit, DETERMINISTIC),
        (add_what_does_not_fit, DETERMINISTIC),
        (view_what_does_not_fit, DETERMINISTIC),
        (load_weights_of_another_model, DETERMINISTIC),
        (load_weights_of_another_size, DETERMINISTIC),
        (import_what_is_not_there, DETERMINISTIC),
        (parse_what_is_no_python, DETERMINISTIC),
        (open_what_is_not_there, DETERMINISTIC),
        (validate_what_is_no_specification, DETERMINISTIC),
    ],
)
def test_fault_that_can_be_made_here_has_its_kind(act, fault):
    with pytest.raises(
        (RuntimeError, ImportError, SyntaxError, OSError, ValidationError)
    ) as raised:
        act()

    assert fault_of(raised.value) == fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), OUT_OF_MEMORY),
        (RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB."), OUT_OF_MEMORY),
        (MemoryError(), OUT_OF_MEMORY),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), OUT_OF_MEMORY),
        (
            RuntimeError("DataLoader worker (pid 4711) is killed by signal: Killed. "),
            OUT_OF_MEMORY,
        ),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), HARDWARE),
        (RuntimeError("NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus."), HARDWARE),
        (RuntimeError("NCCL error: unhandled system error, NCCL version 2.27"), HARDWARE),
        (RuntimeError("ncclUnhandledCudaError: Call to CUDA function failed."), HARDWARE),
        (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"), HARDWARE),
        (OSError(errno.EIO, os.strerror(errno.EIO), "/ckpt"), HARDWARE),
        (OSError(errno.ESTALE, os.strerror(errno.ESTALE), "/ckpt"), HARDWARE),
        (OSError("Caught OSError in DataLoader worker process 0.\n[Errno 5] ..."), HARDWARE),
        (RuntimeError("ncclRemoteError: A call failed possibly due to a network error"), LOST_PEER),
        (RuntimeError("[pair.cc:534] Connection closed by peer [10.0.0.7]:4711"), LOST_PEER),
        (RuntimeError("Timed out waiting 1800000ms for recv operation to complete"), LOST_PEER),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), LOST_PEER),
        (KeyError("video"), DETERMINISTIC),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), DETERMINISTIC),
        (WeightsError("does not fit"), DETERMINISTIC),
        (RuntimeError("Current loss scale already at minimum - cannot decrease"), DETERMINISTIC),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OTHER),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), OTHER),
        (ValueError("too few"), OTHER),
        (RuntimeError(""), OTHER),
    ],
    ids=lambda value: str(value)[:40],
)
def test_exception_has_the_kind_of_its_class_number_or_words(error, fault):
    assert fault_of(error) == fault


def test_cause_of_an_exception_counts():
    error = RuntimeError("cannot save")
    error.__cause__ = OSError(errno.EIO, "Input/output error")

    assert fault_of(error) == HARDWARE


def test_table_needs_no_torch():
    script = "import sys, jobs.faults, jobs.requeue, jobs.ending; print('torch' in sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=180, check=True
    )

    assert done.stdout == "False\n"
