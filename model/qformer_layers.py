"""The parts of a QFormer layer: BERT's post-norm sublayers (arXiv 1810.04805, 2301.12597).

Letters: B samples, Q query tokens, L tokens, H heads, D width, V visual tokens.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import QFormerConfig
from model.drop_path import DropPath

NORM_EPS = 1e-12


class KeyValue(NamedTuple):
    """Keys and values of one self-attention, each (B, heads, L, D / heads)."""

    key: Tensor
    value: Tensor


class Residual(nn.Module):
    """What ends each sublayer: dense, dropout, drop path, add, norm."""

    def __init__(self, width_in: int, cfg: QFormerConfig, drop_path: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, cfg.width)
        self.dropout = nn.Dropout(cfg.dropout)
        self.drop_path = DropPath(drop_path)
        self.norm = nn.LayerNorm(cfg.width, eps=NORM_EPS)

    def forward(self, branch: Tensor, x_BLD: Tensor) -> Tensor:
        """Give norm(x + branch), (B, L, D)."""
        branch = self.drop_path(self.dropout(self.dense(branch)))
        out: Tensor = self.norm(x_BLD + branch)
        return out


class Attention(nn.Module):
    """Attention of tokens to themselves, to what came before, or to the video."""

    def __init__(self, key_width: int, cfg: QFormerConfig, drop_path: float) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.dropout = cfg.dropout
        self.query = nn.Linear(cfg.width, cfg.width)
        self.key = nn.Linear(key_width, cfg.width)
        self.value = nn.Linear(key_width, cfg.width)
        self.output = Residual(cfg.width, cfg, drop_path)

    def key_value(self, context_BLD: Tensor) -> KeyValue:
        """Give the keys and values of a context."""
        return KeyValue(self._split(self.key(context_BLD)), self._split(self.value(context_BLD)))

    def forward(self, x_BLD: Tensor, seen: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Attend to `seen`.

        Args:
            x_BLD: The tokens that ask.
            seen: What they may look at.
            mask: bool, broadcast to (B, heads, L, seen L); True may be looked at.
        """
        y_BHLD = functional.scaled_dot_product_attention(
            self._split(self.query(x_BLD)),
            seen.key,
            seen.value,
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        out: Tensor = self.output(y_BHLD.transpose(1, 2).flatten(2), x_BLD)
        return out

    def _split(self, x_BLD: Tensor) -> Tensor:
        return x_BLD.view(*x_BLD.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """dense, GELU, dense, residual."""

    def __init__(self, cfg: QFormerConfig, drop_path: float) -> None:
        super().__init__()
        self.dense = nn.Linear(cfg.width, cfg.ffn_width)
        self.output = Residual(cfg.ffn_width, cfg, drop_path)

    def forward(self, x_BLD: Tensor) -> Tensor:
        """Give the next tokens, (B, L, D)."""
        out: Tensor = self.output(functional.gelu(self.dense(x_BLD)), x_BLD)
        return out


class QFormerLayer(nn.Module):
    """Self-attention of queries and text together, then each its own way.

    Only queries look at the video; queries and text have a feed-forward part each.
    """

    def __init__(
        self,
        cfg: QFormerConfig,
        drop_path: float,
        *,
        visual_width: int | None,
        text_branch: bool,
    ) -> None:
        super().__init__()
        self.self_attention = Attention(cfg.width, cfg, drop_path)
        self.cross_attention = (
            None if visual_width is None else Attention(visual_width, cfg, drop_path)
        )
        self.query_ffn = FeedForward(cfg, drop_path)
        self.text_ffn = FeedForward(cfg, drop_path) if text_branch else None

    def forward(
        self,
        x_BLD: Tensor,
        num_queries: int,
        *,
        visual_BVD: Tensor | None = None,
        mask: Tensor | None = None,
        past: KeyValue | None = None,
    ) -> tuple[Tensor, KeyValue]:
        """Give the next tokens and the keys and values they were made from.

        Args:
            x_BLD: `num_queries` query tokens, then text tokens.
            num_queries: How many of the tokens are queries.
            visual_BVD: The video; needed when there are queries.
            mask: bool, True where a token may look.
            past: Keys and values that stand before the tokens' own.
        """
        own = self.self_attention.key_value(x_BLD)
        seen = own if past is None else _joined(past, own)
        x_BLD = self.self_attention(x_BLD, seen, mask)
        queries_BQD, text_BLD = x_BLD[:, :num_queries], x_BLD[:, num_queries:]
        parts = []
        if queries_BQD.shape[1]:
            if self.cross_attention is not None and visual_BVD is not None:
                video = self.cross_attention.key_value(visual_BVD)
                queries_BQD = self.cross_attention(queries_BQD, video)
            parts.append(self.query_ffn(queries_BQD))
        if self.text_ffn is not None and text_BLD.shape[1]:
            parts.append(self.text_ffn(text_BLD))
        return torch.cat(parts, dim=1), own


class CaptionHead(nn.Module):
    """BERT's masked-word head; its last matrix is the word embedding."""

    def __init__(self, cfg: QFormerConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(cfg.width, cfg.width)
        self.norm = nn.LayerNorm(cfg.width, eps=NORM_EPS)
        self.bias = nn.Parameter(torch.zeros(cfg.vocab_size))

    def forward(self, text_BLD: Tensor, words_VD: Tensor) -> Tensor:
        """Give logits over the words, (B, L, vocab)."""
        x_BLD = self.norm(functional.gelu(self.dense(text_BLD)))
        return functional.linear(x_BLD, words_VD, self.bias)


def _joined(past: KeyValue, own: KeyValue) -> KeyValue:
    return KeyValue(torch.cat([past.key, own.key], 2), torch.cat([past.value, own.value], 2))
