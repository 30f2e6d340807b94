"""The QFormer: learned queries read a clip, alone or beside a text.

Letters: B samples, Q query tokens, L text tokens, V visual tokens, D width.
Notable: queries pass through the embedding's norm but have no positions; a text's
positions count from its first column, padding included.
"""

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.config import QFormerConfig
from model.drop_path import drop_path_rates
from model.errors import ModelError
from model.qformer_layers import NORM_EPS, CaptionHead, KeyValue, QFormerLayer


class QueryStates(NamedTuple):
    """The queries after reading a clip."""

    hidden: Tensor
    """Query outputs (B, Q, D)."""
    past: tuple[KeyValue, ...]
    """Keys and values of each layer: the past of a caption."""


class TextEmbedding(nn.Module):
    """Words and their positions."""

    def __init__(self, cfg: QFormerConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(cfg.vocab_size, cfg.width, padding_idx=cfg.pad_id)
        self.positions = nn.Embedding(cfg.max_positions, cfg.width)

    def forward(self, text_ids_BL: Tensor) -> Tensor:
        """Give the sum of both, (B, L, D).

        Raises:
            ModelError: A text longer than the positions.
        """
        length, longest = text_ids_BL.shape[1], self.positions.num_embeddings
        if length > longest:
            raise ModelError(f"text: {length} tokens, the QFormer has {longest} positions")
        where_L = torch.arange(length, device=text_ids_BL.device)
        summed_BLD: Tensor = self.words(text_ids_BL) + self.positions(where_L)
        return summed_BLD


class QFormer(nn.Module):
    """Queries that look at a clip through cross-attention.

    Args:
        cfg: Sizes.
        visual_width: Channels of the visual tokens.
        extra_queries: Build the queries that stages 2 and 3 add.
        text_branch: Build what a text needs; stage 2 has none.
        caption_head: Build the head of stage 1's caption loss.
    """

    def __init__(
        self,
        cfg: QFormerConfig,
        visual_width: int,
        *,
        extra_queries: bool,
        text_branch: bool,
        caption_head: bool = False,
    ) -> None:
        super().__init__()
        self.cfg = cfg
        self.query_tokens = nn.Parameter(torch.empty(1, cfg.num_queries, cfg.width))
        extra = torch.zeros(1, cfg.num_extra_queries, cfg.width)
        self.extra_query_tokens = nn.Parameter(extra) if extra_queries else None
        self.text_embedding = TextEmbedding(cfg) if text_branch else None
        self.embedding_norm = nn.LayerNorm(cfg.width, eps=NORM_EPS)
        self.dropout = nn.Dropout(cfg.dropout)
        self.layers = nn.ModuleList(
            QFormerLayer(
                cfg,
                rate,
                visual_width=visual_width if index % cfg.cross_attention_every == 0 else None,
                text_branch=text_branch,
            )
            for index, rate in enumerate(drop_path_rates(cfg.drop_path, cfg.layers))
        )
        self.caption_head = CaptionHead(cfg) if caption_head else None
        self.apply(partial(_initialise, std=cfg.init_std))
        nn.init.normal_(self.query_tokens, std=cfg.init_std)

    def queries(self, visual_BVD: Tensor) -> QueryStates:
        """Read clips with the queries alone.

        Returns:
            All query outputs and the past for `caption_logits`.
        """
        queries_BQD = self._all_queries(len(visual_BVD))
        return self._run(queries_BQD, queries_BQD.shape[1], visual_BVD=visual_BVD)

    def text(self, text_ids_BL: Tensor, text_mask_BL: Tensor) -> Tensor:
        """Read texts without a clip.

        Args:
            text_ids_BL: Token ids.
            text_mask_BL: 1 for a token, 0 for padding.

        Returns:
            hidden_BLD; position 0 stands for the text.
        """
        mask = text_mask_BL.bool()[:, None, None]
        return self._run(self._embedded(text_ids_BL), 0, mask=mask).hidden

    def multimodal(self, visual_BVD: Tensor, text_ids_BL: Tensor, text_mask_BL: Tensor) -> Tensor:
        """Read clips with the queries and a text beside each; both see each other.

        Returns:
            hidden_BLD: the query outputs, then the text outputs.
        """
        queries_BQD = self._all_queries(len(visual_BVD))
        x_BLD = torch.cat([queries_BQD, self._embedded(text_ids_BL)], dim=1)
        all_queries = text_mask_BL.new_ones(queries_BQD.shape[:2])
        mask = torch.cat([all_queries, text_mask_BL], dim=1).bool()[:, None, None]
        return self._run(x_BLD, queries_BQD.shape[1], visual_BVD=visual_BVD, mask=mask).hidden

    def caption_logits(
        self, past: tuple[KeyValue, ...], text_ids_BL: Tensor, text_mask_BL: Tensor
    ) -> Tensor:
        """Predict each next word of a caption from the queries and the words before it.

        Args:
            past: From `queries`, of the clips that the captions describe.
            text_ids_BL: Token ids, the first one [DEC].
            text_mask_BL: 1 for a token, 0 for padding.

        Returns:
            logits, (B, L, vocab).
        """
        if self.caption_head is None or self.text_embedding is None:
            raise ModelError("this QFormer has no caption head: build it with caption_head=True")
        length = text_ids_BL.shape[1]
        square = torch.ones(length, length, dtype=torch.bool, device=text_ids_BL.device)
        among_text = square.tril() & text_mask_BL.bool()[:, None, :]
        to_queries = among_text.new_ones(len(text_ids_BL), length, past[0].key.shape[2])
        mask = torch.cat([to_queries, among_text], dim=2)[:, None]
        hidden_BLD = self._run(self._embedded(text_ids_BL), 0, mask=mask, past=past).hidden
        logits: Tensor = self.caption_head(hidden_BLD, self.text_embedding.words.weight)
        return logits

    def visual_tokens(
        self,
        visual_BVD: Tensor,
        text_ids_BL: Tensor | None = None,
        text_mask_BL: Tensor | None = None,
    ) -> Tensor:
        """Give what the language model sees of clips, (B, Q, D).

        With a text (stage 3: the instruction) the queries read it beside the clip.
        """
        if text_ids_BL is None or text_mask_BL is None:
            return self.queries(visual_BVD).hidden
        hidden_BLD = self.multimodal(visual_BVD, text_ids_BL, text_mask_BL)
        return hidden_BLD[:, : -text_ids_BL.shape[1]]

    def _all_queries(self, batch: int) -> Tensor:
        tokens_BQD: Tensor = self.query_tokens
        if self.extra_query_tokens is not None:
            tokens_BQD = torch.cat([tokens_BQD, self.extra_query_tokens], dim=1)
        return tokens_BQD.expand(batch, -1, -1)

    def _embedded(self, text_ids_BL: Tensor) -> Tensor:
        if self.text_embedding is None:
            raise ModelError("this QFormer reads no text: build it with text_branch=True")
        embedded_BLD: Tensor = self.text_embedding(text_ids_BL)
        return embedded_BLD

    def _run(
        self,
        x_BLD: Tensor,
        num_queries: int,
        *,
        visual_BVD: Tensor | None = None,
        mask: Tensor | None = None,
        past: tuple[KeyValue, ...] | None = None,
    ) -> QueryStates:
        x_BLD = self.dropout(self.embedding_norm(x_BLD))
        kept: list[KeyValue] = []
        for index, layer in enumerate(self.layers):
            before = None if past is None else past[index]
            x_BLD, own = layer(x_BLD, num_queries, visual_BVD=visual_BVD, mask=mask, past=before)
            kept.append(own)
        return QueryStates(x_BLD, tuple(kept))


def _initialise(module: nn.Module, std: float) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
