"""What kind of fault an exception is: the table that decides whether running again may help.

Libraries tell their faults in words more often than in classes: torch raises a RuntimeError
for a shape that does not fit as well as for a GPU that fell off the bus. The words here are
those of torch 2.6 to 2.13, NCCL and gloo, found in their sources or seen.
"""

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["out_of_memory", "hardware", "deterministic", ""]

OUT_OF_MEMORY: Final = "out_of_memory"
HARDWARE: Final = "hardware"
DETERMINISTIC: Final = "deterministic"


@dataclass(frozen=True)
class Fault:
    """What an exception says of its cause.

    Attributes:
        kind: `out_of_memory`; `hardware`, the network and the disks included;
            `deterministic`: it would be the same again; empty: something else.
        lost_peer: All it says is that another rank is gone. The node is not to blame then.
    """

    kind: Kind
    lost_peer: bool = False


@dataclass(frozen=True)
class _Signs:
    """How to tell a fault: by a class name of the exception, an errno, or words of its text."""

    fault: Fault
    classes: frozenset[str] = frozenset()
    errnos: frozenset[int] = frozenset()
    words: re.Pattern[str] = re.compile(r"(?!)")

    def match(self, error: BaseException) -> bool:
        """Whether the exception shows one of them."""
        names = {each.__name__ for each in type(error).__mro__}
        return bool(
            names & self.classes
            or (isinstance(error, OSError) and error.errno in self.errnos)
            or self.words.search(str(error))
        )


def _any_of(*words: str) -> re.Pattern[str]:
    return re.compile("|".join(words), re.IGNORECASE)


_TABLE = (
    _Signs(
        Fault(OUT_OF_MEMORY),
        classes=frozenset({"OutOfMemoryError", "MemoryError"}),
        errnos=frozenset({errno.ENOMEM}),
        words=_any_of(
            r"out of memory",
            r"can't allocate memory",
            r"cannot allocate memory",
            r"CUBLAS_STATUS_ALLOC_FAILED",
            r"insufficient shared memory",
            r"DataLoader worker .* is killed by signal: Killed",  # the kernel's OOM killer
        ),
    ),
    _Signs(
        Fault(HARDWARE, lost_peer=True),
        classes=frozenset(
            {"ConnectionResetError", "ConnectionRefusedError", "BrokenPipeError"}
            | {"DistNetworkError", "DistStoreError"}
        ),
        errnos=frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNREFUSED}),
        words=_any_of(
            r"connection closed by (remote )?peer",
            r"connection reset by (remote )?peer",
            r"connection refused",
            r"broken pipe",
            r"remote process (has )?exit",
            r"ncclRemoteError",
            r"timed out waiting \d+ ?ms",
            r"socket timeout",
            r"wait timeout after \d+ ?ms",
        ),
    ),
    _Signs(
        Fault(HARDWARE),
        errnos=frozenset(
            {errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO, errno.EHOSTDOWN}
            | {errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}
        ),
        words=_any_of(
            r"\bXid\b",
            r"\bECC\b",
            r"uncorrectable",
            r"unhandled system error",
            r"ncclSystemError",
            r"unhandled (cuda|hip) error",
            r"ncclUnhandledCudaError",
            r"NVLink",
            r"hardware (error|exception|failure)",
            r"unspecified launch failure",
            r"CUDA-capable device.* busy",
            r"no CUDA-capable device",
            r"no CUDA GPUs are available",
            r"fallen off the bus",
            r"\[Errno (5|116|121)\]",  # where a loader's worker passed on the words alone
            r"input/output error",
            r"stale file handle",
            r"remote I/O error",
        ),
    ),
    _Signs(
        Fault(DETERMINISTIC),
        classes=frozenset(
            {"ImportError", "SyntaxError", "NameError", "ValidationError", "KeyError"}
            | {"FileNotFoundError", "PermissionError", "NotADirectoryError", "IsADirectoryError"}
            | {"ModelError", "AnnotationsError", "OtherSetError"}
        ),
        words=_any_of(
            r"size mismatch",
            r"shapes cannot be multiplied",
            r"must match the size of tensor",
            r"is invalid for input of size",
            r"sizes? of tensors? must match",
            r"(missing|unexpected) key\(s\) in state_dict",
            r"current loss scale already at minimum",  # DeepSpeed in fp16: NaN at every scale
            r"cannot be shared by \d+ ranks",
            r"not a multiple of batch_per_gpu",
        ),
    ),
)
"""The first row that matches counts, for the exception or for what caused it."""


def fault_of(error: BaseException) -> Fault:
    """What kind of fault an exception is, or the ones that it was raised from."""
    chain = list(_with_causes(error))
    for signs in _TABLE:
        if any(signs.match(each) for each in chain):
            return signs.fault
    return Fault("")


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
