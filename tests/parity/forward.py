"""What a whole forward of stage 2 or 3 gives, beside what a vector says that it gives."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from model.batch import ChatBatch
from model.layouts import from_reference
from model.prompt import IGNORED_LABEL
from model.video_chat import VideoChat
from tests.parity.findings import DEFAULT_ATOL, Finding, compare, same
from tests.parity.vectors import Vector

GRADIENT = "grad."
RELATIVE_GRADIENT = 1e-4
"""Of a gradient's size: the vectors give no tolerance for gradients, which pass through every
layer twice; float32 against float64 differs by a tenth of this."""


@dataclass(frozen=True)
class Case:
    """One forward of a vector.

    Attributes:
        vector: Where it stands.
        name: Of the case, such as "video".
        facts: What its description says.
    """

    vector: Vector
    name: str
    facts: Mapping[str, Any]

    def tensor(self, name: str) -> Tensor:
        """One of its tensors."""
        return self.vector.tensors[f"{self.name}.{name}"]

    def tolerance(self, name: str) -> float:
        """The suggested tolerance of a value."""
        given = self.vector.facts["tolerance"].get(f"{self.name}.{name}", {})
        return float(given.get("suggested_atol", DEFAULT_ATOL))

    def compare(self, name: str, got: Tensor, *, like: str | None = None) -> Finding:
        """Compares a value with the tensor of its name, by the tolerance of `like`."""
        return compare(f"{self.name}.{name}", got, self.tensor(name), self.tolerance(like or name))


def cases_of(vector: Vector) -> list[Case]:
    """The forwards of a vector."""
    return [Case(vector, name, facts) for name, facts in vector.facts["cases"].items()]


def sequence_findings(case: Case, batch: ChatBatch) -> Iterator[Finding]:
    """Labels, mask and length."""
    if batch.labels is None:
        raise ValueError("a batch to train on has labels")
    yield same(f"{case.name}.labels", batch.labels, case.tensor("labels"))
    yield same(f"{case.name}.attention_mask", batch.mask, case.tensor("attention_mask"))
    yield from fact_findings(case.name, case.facts, batch)


def fact_findings(name: str, facts: Mapping[str, Any], batch: ChatBatch) -> Iterator[Finding]:
    """What a description says of labels and lengths, in numbers."""
    if batch.labels is None:
        raise ValueError("a batch to train on has labels")
    yield same(f"{name}.sequence_length", batch.ids.shape[1], facts["sequence_length"])
    yield same(f"{name}.attended_length", batch.mask.sum(1).tolist(), facts["attended_length"])
    spans = [label_spans(row) for row in batch.labels.tolist()]
    yield same(f"{name}.label_spans", spans, facts["label_spans"])
    if "n_label_tokens" in facts:
        counts = (batch.labels != IGNORED_LABEL).sum(1).tolist()
        yield same(f"{name}.n_label_tokens", counts, facts["n_label_tokens"])


def label_spans(labels: list[int]) -> list[list[Any]]:
    """Each run of labels, as [its start, its ids]."""
    spans: list[list[Any]] = []
    for index, label in enumerate(labels):
        if label == IGNORED_LABEL:
            continue
        if spans and spans[-1][0] + len(spans[-1][1]) == index:
            spans[-1][1].append(label)
        else:
            spans.append([index, [label]])
    return spans


def forward_findings(case: Case, model: VideoChat, batch: ChatBatch) -> Iterator[Finding]:
    """Visual tokens, embeddings, loss and logits; the gradients of the loss stay in the model."""
    if batch.video is None or batch.labels is None:
        raise ValueError("the vectors' batches have clips and labels")
    visual = model.visual_tokens(batch.video, batch.instruction_ids, batch.instruction_mask)
    yield case.compare("visual_tokens", visual)
    yield case.compare("inputs_embeds", model.embedded(batch))
    model.zero_grad()
    loss = model(batch)["loss"]
    yield case.compare("loss", loss[None])
    yield compare(f"{case.name}.loss (facts)", loss, case.facts["loss"], case.tolerance("loss"))
    trained = batch.labels[:, 1:] != IGNORED_LABEL
    logits = model.logits(batch)[:, :-1][trained]
    yield case.compare("logits_at_label_positions", logits, like="logits")
    loss.backward()


def gradient_findings(case: Case, model: VideoChat) -> Iterator[Finding]:
    """Norms of all gradients, and those gradients that the vector holds whole."""
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    norms = case.vector.facts["grad_norms"][case.name]
    for theirs, ours in our_names(case.vector, norms).items():
        what = f"{case.name}.grad_norm {theirs}"
        got, want = gradients.pop(ours), norms[theirs]
        norm = 0.0 if got is None else float(got.double().norm())
        yield compare(what, norm, want, RELATIVE_GRADIENT * want + 1e-6)
    yield same(f"{case.name}: our parameters without a norm", sorted(gradients), [])
    parameters = dict(model.named_parameters())
    prefix = f"{case.name}.{GRADIENT}"
    held = [n.removeprefix(prefix) for n in case.vector.tensors if n.startswith(prefix)]
    for theirs, ours in our_names(case.vector, held).items():
        want = case.tensor(GRADIENT + theirs)
        got = parameters[ours].grad
        if got is None:
            yield Finding(f"{prefix}{theirs}", math.inf, 0.0, "no gradient")
            continue
        yield compare(prefix + theirs, got, want, RELATIVE_GRADIENT * float(want.abs().max()))


def our_names(vector: Vector, names: Mapping[str, Any] | list[str]) -> dict[str, str]:
    """Our name of each of the original's parameters."""
    shapes = {name: tuple(vector.weights[name].shape) for name in names}
    return {name: next(iter(from_reference({name: shape}))) for name, shape in shapes.items()}
