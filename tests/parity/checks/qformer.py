"""The QFormer alone: queries, queries beside a text, a text alone, a caption; gradients."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from model.config import QFormerConfig
from model.layouts import from_reference
from model.prompt import IGNORED_LABEL
from model.qformer import QFormer, QueryStates
from model.qformer_layers import KeyValue
from model.weights import load_tensors
from tests.parity.findings import DEFAULT_ATOL, Finding, compare, same
from tests.parity.parts import norm_findings, tolerance_of
from tests.parity.vectors import Vector

PREFIX = "qformer."
LABEL_SMOOTHING = 0.1


def recognises(vector: Vector) -> bool:
    """A QFormer without encoder."""
    return "s1_causal" in vector.facts.get("calls", {}) and "visual" in vector.tensors


def check(vector: Vector) -> Iterator[Finding]:
    """Every output, the structure, the gradients."""
    alone, wide = _build(vector, extra_queries=False), _build(vector, extra_queries=True)
    yield from _structure(vector, wide)
    got = {**_stage1(vector, alone), **_chat(vector, wide)}
    for name, want in vector.tensors.items():
        if name.startswith("out."):
            what = name.removeprefix("out.")
            yield compare(what, got[what], want, tolerance_of(vector, what))
    seed, want = vector.tensors["grad_seed_tensor"], vector.tensors["grad_loss"]
    queries = got["s3_left_pad.last_hidden"][:, : seed.shape[1]]
    loss = (queries * seed).sum() + got["s1_causal.loss"]
    yield compare("grad_loss", loss, want, max(DEFAULT_ATOL, 1e-5 * float(want.abs())))
    loss.backward()
    yield from norm_findings(
        _summed_gradients(alone, wide), vector.facts["grad_norms"], vector.weights
    )


def _config(facts: dict[str, Any]) -> QFormerConfig:
    return QFormerConfig(
        num_queries=facts["query_length"],
        num_extra_queries=facts["extra_queries"],
        width=facts["hidden_size"],
        layers=facts["num_hidden_layers"],
        heads=facts["num_attention_heads"],
        ffn_width=facts["intermediate_size"],
        cross_attention_every=facts["cross_attention_freq"],
        drop_path=max(facts["drop_path_list"]),
        vocab_size=facts["vocab_size"],
        max_positions=facts["max_position_embeddings"],
        decoder_start_id=facts["dec_token_id"],
        pad_id=facts["pad_token_id"],
    )


def _build(vector: Vector, *, extra_queries: bool) -> QFormer:
    """Stage 1's has the queries alone; that of the later stages has more of them."""
    facts = vector.facts["config"]
    model = QFormer(
        _config(facts),
        facts["encoder_width"],
        extra_queries=extra_queries,
        text_branch=True,
        caption_head=True,
    )
    named = from_reference(vector.weights)
    weights = {name.removeprefix(PREFIX): value for name, value in named.items()}
    if not extra_queries:
        del weights["extra_query_tokens"]
    load_tensors(model, weights, source=vector.name)
    return model.eval()


def _structure(vector: Vector, model: QFormer) -> Iterator[Finding]:
    facts = vector.facts["config"]
    layers: list[Any] = list(model.layers)
    looking = [i for i, layer in enumerate(layers) if layer.cross_attention is not None]
    yield same("cross_attention_layers", looking, facts["cross_attention_layers"])
    yield same("layer_norm_eps", model.embedding_norm.eps, facts["layer_norm_eps"])
    for part in ("self_attention", "cross_attention", "query_ffn", "text_ffn"):
        rates = {
            i: getattr(layer, part).output.drop_path.rate
            for i, layer in enumerate(layers)
            if getattr(layer, part) is not None
        }
        want = [facts["drop_path_list"][i] for i in rates]
        yield compare(f"drop_path_list ({part})", list(rates.values()), want, 1e-7)


def _stage1(vector: Vector, model: QFormer) -> dict[str, Tensor]:
    given = vector.tensors
    ids, mask = given["text_ids_right_pad"], given["text_mask_right_pad"]
    states, hidden = _watched(model, given["visual"])
    start = ids.clone()
    start[:, 0] = vector.facts["config"]["dec_token_id"]
    logits = model.caption_logits(states.past, start, mask)
    labels = start.masked_fill(start == vector.facts["config"]["pad_token_id"], IGNORED_LABEL)
    loss = functional.cross_entropy(
        logits[:, :-1].flatten(0, 1),
        labels[:, 1:].flatten(),
        label_smoothing=LABEL_SMOOTHING,
    )
    return {
        **{f"s1_vision.hidden{index}": each for index, each in enumerate(hidden)},
        **_past("layer0", states.past[0]),
        **_past("last", states.past[-1]),
        "s1_vision.last_hidden": states.hidden,
        "s1_text.last_hidden": model.text(ids, mask),
        "s1_multimodal.last_hidden": model.multimodal(given["visual"], ids, mask),
        "s1_causal.logits": logits,
        "s1_causal.loss": loss.reshape(1),
    }


def _chat(vector: Vector, model: QFormer) -> dict[str, Tensor]:
    given = vector.tensors
    found = {"s2_query_only.last_hidden": model.queries(given["visual"]).hidden}
    for side in ("right", "left"):
        text = given[f"text_ids_{side}_pad"], given[f"text_mask_{side}_pad"]
        found[f"s3_{side}_pad.last_hidden"] = model.multimodal(given["visual"], *text)
    return found


def _watched(model: QFormer, visual: Tensor) -> tuple[QueryStates, list[Tensor]]:
    """The queries' states, and what they are before the first layer and after each."""
    hidden: list[Tensor] = []

    def keep(_: nn.Module, __: Any, out: Any) -> None:
        hidden.append(out if isinstance(out, Tensor) else out[0])

    watched = (model.embedding_norm, *model.layers)
    handles = [part.register_forward_hook(keep) for part in watched]
    states = model.queries(visual)
    for handle in handles:
        handle.remove()
    return states, hidden


def _past(layer: str, past: KeyValue) -> dict[str, Tensor]:
    return {
        f"s1_vision.past_key_{layer}": past.key,
        f"s1_vision.past_value_{layer}": past.value,
    }


def _summed_gradients(*models: nn.Module) -> dict[str, Tensor | None]:
    """Of models with the same weights, as if they were one; a shared one counts in each."""
    summed: dict[str, Tensor | None] = {}
    for model in models:
        for name, parameter in model.named_parameters():
            own, others = parameter.grad, summed.get(PREFIX + name)
            both = own is not None and others is not None
            summed[PREFIX + name] = own + others if both else (others if own is None else own)
    return summed
