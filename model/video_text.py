"""VideoChat2 of stage 1: the QFormer learns to find, to match and to caption.

Letters: B pairs, T frames, L text tokens, V visual tokens, Q queries, D width.
Notable: three losses, each of weight 1: contrastive (vtc), matching (vtm), caption.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.config import ModelConfig
from model.contrastive import (
    contrastive_loss,
    draw_negatives,
    gather,
    gather_with_gradient,
    rows_per_rank,
    similarity,
)
from model.errors import SpliceError
from model.freezing import FreezableModule
from model.prompt import IGNORED_LABEL
from model.qformer import QFormer, QueryStates
from model.stages import FROZEN_IN
from model.video_encoder import VISUAL_NORM_EPS, VideoEncoder

TEMPERATURE_MIN, TEMPERATURE_MAX = 0.001, 0.5


class VideoTextPretraining(FreezableModule):
    """Video encoder, QFormer with text, and the heads of stage 1.

    Args:
        cfg: Sizes; the language model's are not used.
        freeze: Parts to freeze, by default stage 1's own.
    """

    def __init__(self, cfg: ModelConfig, *, freeze: Sequence[str] = FROZEN_IN[1]) -> None:
        super().__init__()
        self.cfg = cfg
        visual_width, width = cfg.video_encoder.width, cfg.qformer.width
        self.video_encoder = VideoEncoder(cfg.video_encoder)
        self.visual_norm = nn.LayerNorm(visual_width, eps=VISUAL_NORM_EPS)
        self.frame_embedding = nn.Parameter(torch.empty(1, cfg.pretraining.frames, 1, visual_width))
        self.qformer = QFormer(
            cfg.qformer, visual_width, extra_queries=False, text_branch=True, caption_head=True
        )
        self.video_projection = nn.Linear(width, cfg.pretraining.embed_width)
        self.text_projection = nn.Linear(width, cfg.pretraining.embed_width)
        self.match_head = nn.Linear(2 * width, 2)
        # One number in a vector: DeepSpeed cannot broadcast a parameter without dimensions.
        self.temperature = nn.Parameter(torch.tensor([cfg.pretraining.temperature]))
        nn.init.trunc_normal_(self.frame_embedding, std=0.02)
        self.freeze(*freeze)

    def forward(
        self, video_BTCHW: Tensor, text_ids_BL: Tensor, text_mask_BL: Tensor, idx_B: Tensor
    ) -> dict[str, Tensor]:
        """Give the losses of a batch of pairs.

        Args:
            video_BTCHW: Grey levels in uint8, or normalised pixels; T is the configured number or 1
                (an image).
            text_ids_BL: int64 ids, [CLS] text [SEP], padded on the right.
            text_mask_BL: int64, 1 for a token, 0 for padding.
            idx_B: int64, equal for pairs that share a caption.

        Returns:
            "vtc", "vtm", "caption" and their sum "loss": float32 scalars.
        """
        with torch.no_grad():
            self.temperature.clamp_(TEMPERATURE_MIN, TEMPERATURE_MAX)
        visual_BVD = self.visual(video_BTCHW)
        states = self.qformer.queries(visual_BVD)
        text_BD = self.qformer.text(text_ids_BL, text_mask_BL)[:, 0]
        vtc, similarity_BB = self.contrast(states.hidden, text_BD, idx_B)
        negative_video_B, exists_B = draw_negatives(similarity_BB.T, idx_B)
        negative_text_B, _ = draw_negatives(similarity_BB, idx_B)
        vtm = self.match(
            visual_BVD, (text_ids_BL, text_mask_BL), (negative_video_B, negative_text_B), exists_B
        )
        caption = self.caption(states, text_ids_BL, text_mask_BL)
        return {"vtc": vtc, "vtm": vtm, "caption": caption, "loss": vtc + vtm + caption}

    def visual(self, video_BTCHW: Tensor) -> Tensor:
        """Give the visual tokens with their frame's embedding, (B, V, D).

        An image counts as a still clip: it is repeated under each frame's embedding.
        """
        frames, wanted = video_BTCHW.shape[1], self.cfg.pretraining.frames
        if frames not in (1, wanted):
            raise SpliceError(f"video: {frames} frames, stage 1 has embeddings for {wanted}")
        tokens_BVD: Tensor = self.video_encoder(video_BTCHW)
        by_frame = tokens_BVD.view(len(tokens_BVD), frames, -1, tokens_BVD.shape[-1])
        by_frame = by_frame + self.frame_embedding
        out: Tensor = self.visual_norm(by_frame.flatten(1, 2))
        return out

    def contrast(
        self, queries_BQD: Tensor, text_BD: Tensor, idx_B: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Give the contrastive loss over all ranks and the local similarities (videos, texts)."""
        video_BQE, text_BE = self.video_projection(queries_BQD), self.text_projection(text_BD)
        rows = rows_per_rank(text_BE)
        summed = self.cfg.pretraining.gathered_gradient == "whole"
        everywhere = similarity(
            gather_with_gradient(video_BQE, rows, summed=summed),
            gather_with_gradient(text_BE, rows, summed=summed),
            self.temperature,
        )
        here = similarity(video_BQE.detach(), text_BE.detach(), self.temperature.detach())
        return contrastive_loss(everywhere, gather(idx_B, rows)), here

    def match(
        self,
        visual_BVD: Tensor,
        text: tuple[Tensor, Tensor],
        negatives: tuple[Tensor, Tensor],
        exists_B: Tensor,
    ) -> Tensor:
        """Give the loss of telling pairs from mixed pairs.

        Args:
            visual_BVD: Visual tokens.
            text: Ids and mask.
            negatives: For each text another video, for each video another text.
            exists_B: False where the batch holds no negative; such pairs do not count.
        """
        ids_BL, mask_BL = text
        video_B, text_B = negatives
        hidden_BLD = self.qformer.multimodal(
            torch.cat([visual_BVD, visual_BVD[video_B], visual_BVD]),
            torch.cat([ids_BL, ids_BL, ids_BL[text_B]]),
            torch.cat([mask_BL, mask_BL, mask_BL[text_B]]),
        )
        queries = self.cfg.qformer.num_queries
        seen = torch.cat([hidden_BLD[:, :queries].mean(dim=1), hidden_BLD[:, queries]], dim=1)
        is_pair = torch.arange(len(seen), device=seen.device) < len(ids_BL)
        scores = self.match_head(seen).float()
        losses = functional.cross_entropy(scores, is_pair.long(), reduction="none")
        counts = torch.cat([torch.ones_like(exists_B), exists_B, exists_B])
        # Not losses[counts]: the host would wait for a GPU to tell how many there are.
        return losses.where(counts, 0.0).sum() / counts.sum()

    def caption(self, states: QueryStates, text_ids_BL: Tensor, text_mask_BL: Tensor) -> Tensor:
        """Give the loss of predicting each next word from the clip and the words before."""
        ids_BL = text_ids_BL.clone()
        ids_BL[:, 0] = self.cfg.qformer.decoder_start_id
        logits = self.qformer.caption_logits(states.past, ids_BL, text_mask_BL)
        labels_BL = ids_BL.masked_fill(text_mask_BL == 0, IGNORED_LABEL)
        return functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(),
            labels_BL[:, 1:].flatten(),
            label_smoothing=self.cfg.pretraining.label_smoothing,
        )
