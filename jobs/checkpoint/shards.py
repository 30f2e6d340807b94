"""Files of tensors: copied to the host at once, written and digested in one go, read in parts.

The files are safetensors (https://github.com/huggingface/safetensors: a length, a header in
JSON, the bytes), written by hand because no library digests while it writes. A piece's key
says what it is: `exp_avg/qformer.query_tokens@1024` begins at element 1024 of that parameter.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from jobs.checkpoint.state import Piece
from jobs.contract.manifest import CheckpointFile

_CHUNK_BYTES = 8 << 20
_ALIGNMENT = 8
_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class HostBuffer:
    """Memory for one copy of what a rank saves; taken once and used for every save."""

    def __init__(self) -> None:
        self._memory = torch.empty(0, dtype=torch.uint8)

    def copy(self, pieces: Iterable[Piece]) -> dict[str, Tensor]:
        """Copies tensors to the host, by the key of each; the next call overwrites them.

        It returns when the device may go on changing them.
        """
        # The widest first: each then begins at a multiple of its width.
        ordered = sorted(pieces, key=lambda piece: -piece.tensor.element_size())
        self.reserve(sum(piece.tensor.nbytes for piece in ordered))
        found: dict[str, Tensor] = {}
        begin = 0
        for piece in ordered:
            end = begin + piece.tensor.nbytes
            place = self._memory[begin:end].view(piece.tensor.dtype).view(piece.tensor.shape)
            place.copy_(piece.tensor, non_blocking=True)
            found[f"{piece.kind}/{piece.name}@{piece.start}"] = place
            begin = end
        if torch.cuda.is_available():
            torch.cuda.current_stream().synchronize()
        return found

    def reserve(self, size: int) -> None:
        """Takes memory for so many bytes, each page of it, so that no save waits for that."""
        if self._memory.numel() < size:
            self._memory = torch.empty(0, dtype=torch.uint8)  # not both at a time
            pinned = torch.cuda.is_available()
            self._memory = torch.empty(size, dtype=torch.uint8, pin_memory=pinned).fill_(0)


def write_digested(path: Path, tensors: Mapping[str, Tensor]) -> CheckpointFile:
    """Writes a safetensors file, to the disk itself, and says what its digest must be.

    Args:
        path: Where.
        tensors: On the host.

    Raises:
        OSError: The disk is full, or does not take it.
    """
    ordered = sorted(tensors.items(), key=lambda named: -named[1].element_size())
    header = _header(ordered)
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        parts: Iterable[bytes | memoryview] = _chunks(tensor for _, tensor in ordered)
        for chunk in chain([header], parts):
            digest.update(chunk)
            file.write(chunk)
            size += len(chunk)
        file.flush()
        os.fsync(file.fileno())
    return CheckpointFile(name=path.name, bytes=size, sha256=digest.hexdigest())


def _header(tensors: Sequence[tuple[str, Tensor]]) -> bytes:
    told: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, tensor in tensors:
        end = begin + tensor.nbytes
        told[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
        begin = end
    text = json.dumps(told, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _chunks(tensors: Iterable[Tensor]) -> Iterator[memoryview]:
    for tensor in tensors:
        if tensor.numel():
            flat = tensor.detach().contiguous().view(-1).view(torch.uint8)
            view: memoryview = flat.numpy().data
            for begin in range(0, len(view), _CHUNK_BYTES):
                yield view[begin : begin + _CHUNK_BYTES]


@dataclass(frozen=True)
class _Stored:
    """A piece in a file: elements `start` to `start + count` of a parameter."""

    start: int
    count: int
    file: Path
    key: str


class Shards:
    """What a checkpoint's files hold, whatever number of ranks has written them.

    Args:
        files: The safetensors files.

    Raises:
        OSError: One is missing or unreadable.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._stored: dict[tuple[str, str], list[_Stored]] = {}
        self._open: dict[Path, Any] = {}
        for path in files:
            try:
                self._open[path] = safe_open(path, framework="pt")
            except Exception as error:  # its own class of error, by no other name
                raise OSError(f"{path}: no readable safetensors file ({error})") from error
            for key in self._open[path].keys():  # noqa: SIM118 - it is no dictionary
                kind, name, start = _parsed(key)
                (count,) = self._open[path].get_slice(key).get_shape()
                found = _Stored(start, count, path, key)
                self._stored.setdefault((kind, name), []).append(found)

    def fill(self, piece: Piece) -> None:
        """Copies what was saved of a piece into its tensor.

        Raises:
            OSError: Some of its elements are in no file.
        """
        begin, end = piece.start, piece.start + piece.tensor.numel()
        missing = end - begin
        for stored in self._stored.get((piece.kind, piece.name), ()):
            first, last = max(begin, stored.start), min(end, stored.start + stored.count)
            if first < last:
                part = self._open[stored.file].get_slice(stored.key)
                values = part[first - stored.start : last - stored.start]
                piece.tensor[first - begin : last - begin].copy_(values)
                missing -= last - first
        if missing:
            raise OSError(
                f"{missing} of {end - begin} elements of {piece.name} ({piece.kind}) are in no "
                "file of the checkpoint"
            )


def _parsed(key: str) -> tuple[str, str, int]:
    kind, _, rest = key.partition("/")
    name, _, start = rest.rpartition("@")
    return kind, name, int(start)
