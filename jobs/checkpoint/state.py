"""The state of a training run as named pieces, whatever ZeRO stage holds it.

Notable: this is the only module that knows DeepSpeed's optimizers from inside (0.19.8). Each
keeps float32 masters in flat tensors of which a rank holds a part; here that part becomes
`Extent`s, which elements of which parameter lie where. What is saved by one number of ranks can
so be put back by another. What can be derived is not saved: low-precision weights follow from
the masters, the learning rate and the random numbers from the step.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

WEIGHT = "weight"
_MOMENTS = 2
"""Of AdamW, each as large as the masters."""
_SCALER_FIELDS = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


@dataclass(frozen=True)
class Extent:
    """A run of elements of one parameter that lies in one flat tensor of this rank.

    Attributes:
        name: Of the parameter.
        start: First element, counted in the flattened parameter.
        count: Elements.
        flat: The tensor that the optimizer updates, one-dimensional.
        offset: Where in it they begin.
    """

    name: str
    start: int
    count: int
    flat: Tensor
    offset: int

    def of(self, flat: Tensor) -> Tensor:
        """Its part of a tensor that is laid out as `flat` is; a view."""
        return flat.view(-1).narrow(0, self.offset, self.count)


@dataclass(frozen=True)
class Piece:
    """One tensor to save or to fill.

    Attributes:
        kind: `weight` for the master, else the optimizer's word, as `exp_avg`.
        name: Of the parameter.
        start: First element, counted in the flattened parameter.
        tensor: The elements, a view of what the run goes on with.
    """

    kind: str
    name: str
    start: int
    tensor: Tensor


class EngineState:
    """What of an engine must be saved; all ranks hold one.

    Args:
        engine: DeepSpeed's, with torch's AdamW.

    Attributes:
        is_replicated: Every rank holds all of it (ZeRO stage 0).
        shapes: Of each trained parameter.
    """

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 - DeepSpeed is untyped
        self._engine = engine
        self._optimizer = engine.optimizer
        self._trained = {
            name: parameter
            for name, parameter in engine.module.named_parameters()
            if parameter.requires_grad
        }
        self.shapes = {
            name: tuple(getattr(each, "ds_shape", each.shape))
            for name, each in self._trained.items()
        }
        self._zero = int(engine.zero_optimization_stage())
        self.is_replicated = self._zero == 0
        self._extents = tuple(self._find())

    @property
    def _adam(self) -> torch.optim.Optimizer:
        inner: torch.optim.Optimizer = getattr(self._optimizer, "optimizer", self._optimizer)
        return inner

    def pieces(self) -> list[Piece]:
        """All that this rank holds, masters and moments, in an order of its own.

        Before the first step the optimizer has no moments; then only masters are given.
        """
        found = []
        for extent in self._extents:
            found.append(_piece(WEIGHT, extent, extent.flat))
            state = self._adam.state.get(extent.flat, {})
            for kind, value in state.items():
                if isinstance(value, Tensor) and value.shape == extent.flat.shape:
                    found.append(_piece(kind, extent, value))
        return found

    def own_pieces(self) -> list[Piece]:
        """Those that this rank saves: of a replicated state one part of each."""
        if not self.is_replicated:
            return self.pieces()
        rank, ranks = dist.get_rank(), dist.get_world_size()
        return [part for piece in self.pieces() if (part := _share(piece, rank, ranks))]

    @property
    def size(self) -> int:
        """Bytes that this rank saves once there are moments."""
        masters = [piece for piece in self.own_pieces() if piece.kind == WEIGHT]
        return (1 + _MOMENTS) * sum(piece.tensor.nbytes for piece in masters)

    def updates(self) -> dict[str, float]:
        """How often the optimizer has updated each parameter that lies on this rank."""
        found = {}
        for extent in self._extents:
            step = self._adam.state.get(extent.flat, {}).get("step")
            if step is not None:
                found[extent.name] = float(step)
        return found

    def scaler(self) -> dict[str, float]:
        """Where the loss scale of fp16 stands, equal on all ranks; empty in other precisions."""
        holder = self._scale_holder()
        return {name: getattr(holder, name) for name in _SCALER_FIELDS if hasattr(holder, name)}

    def buffers(self) -> dict[str, Tensor]:
        """Buffers of the module that are saved."""
        return kept_buffers(self._engine.module)

    def prepare(self, updates: Mapping[str, float]) -> None:
        """Gives the optimizer the moments that are about to be filled.

        Args:
            updates: As `updates` gave them on the ranks that saved.

        Raises:
            ValueError: Parameters that lie in one flat tensor had different numbers.
        """
        counts: dict[int, set[float]] = {}
        for extent in self._extents:
            counts.setdefault(id(extent.flat), set()).add(updates.get(extent.name, 0.0))
        for extent in self._extents:
            (count, *others) = counts[id(extent.flat)]
            if others:
                raise ValueError(
                    f"parameters beside {extent.name} were updated {sorted({count, *others})} "
                    "times: this ZeRO stage cannot hold them; resume with the one that saved"
                )
            if count:
                self._adam.state[extent.flat] = self._moments(extent.flat, count)

    def settle(self, scaler: Mapping[str, float]) -> None:
        """After the pieces are filled: renews what follows from them; all ranks call it."""
        holder = self._scale_holder()
        for name, value in scaler.items():
            setattr(holder, name, value)
        with torch.no_grad():
            if self._zero == 3:  # noqa: PLR2004 - a stage's number
                self._settle_partitioned()
            elif self._zero:
                self._optimizer.update_lp_params()
            else:
                for low, masters in self._low_and_masters():
                    low.copy_(masters)

    def _moments(self, flat: Tensor, count: float) -> dict[str, Tensor]:
        group = self._adam.param_groups[0]
        on_device = bool(group.get("fused") or group.get("capturable"))
        device = flat.device if on_device else torch.device("cpu")
        return {
            "step": torch.tensor(count, dtype=torch.float32, device=device),
            "exp_avg": torch.zeros_like(flat, memory_format=torch.preserve_format),
            "exp_avg_sq": torch.zeros_like(flat, memory_format=torch.preserve_format),
        }

    def _scale_holder(self) -> Any:  # noqa: ANN401 - one of three classes of DeepSpeed
        if not self._engine.fp16_enabled():
            return None
        config = getattr(self._optimizer, "loss_scale_config", None)  # of ZeRO stage 0
        return self._optimizer.loss_scaler if config is None else config

    def _find(self) -> Iterator[Extent]:
        if self._zero == 0:
            masters = {id(low): master for low, master in self._low_and_masters()}
            for name, parameter in self._trained.items():
                flat = masters.get(id(parameter), parameter)
                yield Extent(name, 0, parameter.numel(), flat, 0)
        elif self._zero == 3:  # noqa: PLR2004
            yield from self._find_partitioned()
        else:
            flats = self._optimizer.single_partition_of_fp32_groups
            for name, parameter in self._trained.items():
                mapping = parameter._hp_mapping  # set by DeepSpeed on each
                if mapping is not None:
                    at, source = mapping.hp_fragment_address, mapping.lp_fragment_address
                    flat = flats[mapping.param_group_index]
                    yield Extent(name, source.start, source.numel, flat, at.start)

    def _find_partitioned(self) -> Iterator[Extent]:
        optimizer, rank = self._optimizer, dist.get_rank()
        for name, parameter in self._trained.items():
            group, offset, length = optimizer.grad_position[optimizer.get_param_id(parameter)]
            start = rank * length  # the last parts are padded
            count = min(length, parameter.ds_numel - start)
            if count > 0:
                flat = optimizer.fp32_partitioned_groups_flat[group]
                yield Extent(name, start, count, flat, offset)

    def _low_and_masters(self) -> Iterator[tuple[Tensor, Tensor]]:
        """In ZeRO stage 0: low-precision parameters and their masters; none in fp32."""
        for low, masters in zip(
            getattr(self._optimizer, "fp16_groups", ()),
            getattr(self._optimizer, "fp32_groups", ()),
            strict=True,
        ):
            yield from zip(low, masters, strict=True)

    def _settle_partitioned(self) -> None:
        optimizer = self._optimizer
        flats = zip(
            optimizer.fp16_partitioned_groups_flat,
            optimizer.fp32_partitioned_groups_flat,
            strict=True,
        )
        for low, master in flats:
            low.data.copy_(master.data)
        # Small parameters stay whole on every rank between steps.
        if optimizer.persistent_parameters:
            optimizer.persistent_parameters[0].all_gather(optimizer.persistent_parameters)


def _piece(kind: str, extent: Extent, flat: Tensor) -> Piece:
    return Piece(kind, extent.name, extent.start, extent.of(flat.detach()))


def _share(piece: Piece, rank: int, ranks: int) -> Piece | None:
    """One of `ranks` even parts of a piece; None where there is nothing left for it."""
    length = -(-piece.tensor.numel() // ranks)
    start = rank * length
    count = min(length, piece.tensor.numel() - start)
    if count <= 0:
        return None
    return Piece(piece.kind, piece.name, piece.start + start, piece.tensor.narrow(0, start, count))


def kept_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Buffers that a module keeps, beside those of the frozen language model."""
    kept = module.state_dict().keys() - dict(module.named_parameters()).keys()
    return {
        name: buffer
        for name, buffer in module.named_buffers()
        if name in kept and not name.startswith("language_model.")
    }
