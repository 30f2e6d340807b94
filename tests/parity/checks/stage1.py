"""Stage 1 as a whole: the three losses, what leads to them, and their gradients."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from model.config import ModelConfig, PretrainingConfig, QFormerConfig
from model.contrastive import negative_weights, similarity
from model.layouts import from_reference
from model.presets import PRESETS
from model.video_text import VideoTextPretraining
from model.weights import load_tensors
from tests.parity.chat import pixels
from tests.parity.findings import Finding, compare, same
from tests.parity.parts import encoder_config, norm_findings, tolerance_of
from tests.parity.vectors import Vector

CROSS_ATTENTION_EVERY = 2
"""Fixed in the original's code."""


def recognises(vector: Vector) -> bool:
    """A whole forward of stage 1 with its negatives."""
    return {"text_neg_indices", "vision_neg_indices", "idx"} <= vector.tensors.keys()


def check(vector: Vector) -> Iterator[Finding]:
    """What each step gives, the losses, the gradients of their sum."""
    model = _build(vector)
    given, weights = vector.tensors, vector.facts["config"]["loss_weight"]
    yield same("loss_weight", set(weights.values()), {1})
    video = pixels(given["image_u8"], model.cfg.video_encoder.image_size)
    text = given["text.input_ids"], given["text.attention_mask"]
    # First, because it also keeps the temperature in its range.
    whole = model(video, *text, given["idx"])
    got = _steps(model, video, text, given)
    for name, want in vector.tensors.items():
        if name.startswith("out."):
            what = name.removeprefix("out.")
            yield compare(what, got[what], want, tolerance_of(vector, what))
    for what, want in vector.facts["losses"].items():
        told = torch.tensor([want])
        yield compare(f"losses.{what}", got[what], told, tolerance_of(vector, what))
    for ours, theirs in {"vtc": "loss_vtc", "caption": "loss_cap"}.items():
        want, tolerance = given[f"out.{theirs}"], tolerance_of(vector, theirs)
        yield compare(f"forward: {theirs}", whole[ours].reshape(1), want, tolerance)
    model.zero_grad()
    got["loss_total"].backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    yield from norm_findings(gradients, vector.facts["grad_norms"], vector.weights)


def _steps(
    model: VideoTextPretraining,
    video: Tensor,
    text: tuple[Tensor, Tensor],
    given: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """By the vector's names; the pairs of the matching loss are the vector's."""
    idx = given["idx"]
    visual = model.visual(video)
    states = model.qformer.queries(visual)
    pooled = model.qformer.text(*text)[:, 0]
    vtc, _ = model.contrast(states.hidden, pooled, idx)
    negatives = given["vision_neg_indices"], given["text_neg_indices"]
    vtm = model.match(visual, text, negatives, torch.ones_like(idx, dtype=torch.bool))
    caption = model.caption(states, *text)
    video_proj, text_proj = model.video_projection(states.hidden), model.text_projection(pooled)
    alike = similarity(video_proj, text_proj, model.temperature)
    return {
        "vision_embeds": visual,
        "vision_query_embeds": states.hidden,
        "pooled_text": pooled,
        "vision_proj": video_proj,
        "text_proj": text_proj,
        "sim_v2t": alike,
        "sim_t2v": alike.T,
        "neg_weights_v2t": negative_weights(alike, idx),
        "neg_weights_t2v": negative_weights(alike.T, idx),
        "loss_vtc": vtc.reshape(1),
        "loss_vtm": vtm.reshape(1),
        "loss_cap": caption.reshape(1),
        "loss_total": (vtc + vtm + caption).reshape(1),
    }


def _build(vector: Vector) -> VideoTextPretraining:
    facts = vector.facts["config"]
    config = ModelConfig(
        PRESETS["tiny"].language_model,
        video_encoder=encoder_config(facts["vision_encoder"]),
        qformer=_qformer(facts),
        pretraining=PretrainingConfig(
            frames=facts["num_frames"],
            embed_width=facts["embed_dim"],
            temperature=facts["temp"],
        ),
    )
    model = VideoTextPretraining(config)
    load_tensors(model, from_reference(vector.weights), source=vector.name)
    return model.eval()


def _qformer(facts: Mapping[str, Any]) -> QFormerConfig:
    bert = facts["qformer"]
    return QFormerConfig(
        num_queries=facts["qformer_num_query_tokens"],
        width=bert["hidden_size"],
        layers=bert["num_hidden_layers"],
        heads=bert["num_attention_heads"],
        ffn_width=bert["intermediate_size"],
        cross_attention_every=bert.get("cross_attention_freq", CROSS_ATTENTION_EVERY),
        drop_path=facts["drop_path_rate"],
        # [DEC] is added behind the words of the tokenizer.
        vocab_size=facts["dec_token_id"] + 1,
        max_positions=bert["max_position_embeddings"],
        decoder_start_id=facts["dec_token_id"],
    )
