"""VideoChat2 of stages 2 and 3: a clip becomes tokens in a language model's sequence.

Letters: B sequences, L tokens, N clips, Q visual tokens a clip, D width.
Notable: a placeholder id in the sequence marks where each visual token goes; the splice
counts both sides. Positions count real tokens, so the side of the padding is free. No forward
pass looks at a value on the device, so the host runs ahead of a GPU; what must be looked at is
known of the batch since it was made (`Places`).
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.attention import causal_mask
from model.batch import ChatBatch
from model.config import ModelConfig
from model.errors import ConfigError, SpliceError
from model.freezing import FreezableModule
from model.language_model import add_lora, build_language_model
from model.projector import Projector
from model.prompt import MEDIA_ID
from model.qformer import QFormer
from model.stages import FROZEN_IN
from model.video_encoder import VISUAL_NORM_EPS, VideoEncoder


class VideoChat(FreezableModule):
    """Video encoder, norm, QFormer, projector and language model.

    Args:
        cfg: Sizes.
        stage: 2 (captions, queries alone) or 3 (conversations, instruction and adapters).
        freeze: Parts to freeze besides the stage's own, such as "video_encoder".
        dtype: Type of the language model's weights; all else is float32 until `.to()`.
    """

    def __init__(
        self,
        cfg: ModelConfig,
        *,
        stage: int,
        freeze: Sequence[str] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if stage not in (2, 3):
            raise ConfigError(f"VideoChat is the model of stages 2 and 3, not {stage}")
        self.cfg = cfg
        self.numeric_bos = stage == 3 and cfg.bos == "reference"
        self.video_encoder = VideoEncoder(cfg.video_encoder)
        self.visual_norm = nn.LayerNorm(cfg.video_encoder.width, eps=VISUAL_NORM_EPS)
        self.qformer = QFormer(
            cfg.qformer,
            cfg.video_encoder.width,
            extra_queries=True,
            text_branch=stage == 3 and cfg.instruction_in_qformer,
        )
        self.language_model = build_language_model(cfg.language_model, dtype=dtype)
        self.projector = Projector(cfg.qformer.width, self.language_model.config.hidden_size)
        if stage == 3 and cfg.lora is not None:
            add_lora(self.language_model, cfg.lora)
        self.freeze(*FROZEN_IN[stage], *freeze)

    def forward(self, batch: ChatBatch) -> dict[str, Tensor]:
        """Give the loss of a batch with labels.

        Returns:
            "loss": float32 scalar, the mean over all labels; 0 where there are none.
        """
        log_p = self._label_log_likelihoods(batch)
        return {"loss": -log_p.sum() / max(1, len(log_p))}

    def logits(self, batch: ChatBatch) -> Tensor:
        """Give the language model's logits, (B, L, vocab)."""
        return self._head(self._hidden(batch))

    @torch.no_grad()
    def next_token_logits(self, batch: ChatBatch) -> Tensor:
        """Give the logits of the token after each sequence, (B, vocab); any padding side."""
        where_L = torch.arange(batch.mask.shape[1], device=batch.mask.device)
        last_B = (where_L * batch.mask).argmax(dim=1)
        rows_B = torch.arange(len(last_B), device=last_B.device)
        return self._head(self._hidden(batch)[rows_B, last_B])

    @torch.no_grad()
    def sequence_log_likelihood(self, batch: ChatBatch) -> Tensor:
        """Give the log likelihood of each sequence's labels, summed: float32, (B,)."""
        log_p = self._label_log_likelihoods(batch)
        scores = log_p.new_zeros(batch.ids.numel())
        scores_BL = scores.index_copy(0, batch.places.before_labels, log_p).view_as(batch.ids)
        return scores_BL[:, :-1].sum(dim=1)

    @torch.no_grad()
    def generate(
        self, batch: ChatBatch, *, max_new_tokens: int, end_id: int, pad_id: int
    ) -> Tensor:
        """Continue each sequence greedily.

        Args:
            batch: Padded on the left.
            max_new_tokens: Longest answer, in tokens.
            end_id: The token that ends an answer.
            pad_id: What follows an end.

        Returns:
            int64 ids of the answers, (B, up to max_new_tokens).
        """
        if not bool(batch.mask[:, -1].all()):
            raise SpliceError("generate: the batch must be padded on the left")
        answers_BL: Tensor = self.language_model.generate(
            inputs_embeds=self.embedded(batch),
            attention_mask=batch.mask,
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=end_id,
            pad_token_id=pad_id,
        )
        return answers_BL

    def visual_tokens(
        self,
        video_NTCHW: Tensor,
        instruction_ids_NI: Tensor | None = None,
        instruction_mask_NI: Tensor | None = None,
    ) -> Tensor:
        """Give the tokens that stand for clips in a sequence, (N, Q, language model's D)."""
        visual_NVD = self.visual_norm(self.video_encoder(video_NTCHW))
        tokens_NQD = self.qformer.visual_tokens(visual_NVD, instruction_ids_NI, instruction_mask_NI)
        out: Tensor = self.projector(tokens_NQD)
        return out

    def embedded(self, batch: ChatBatch) -> Tensor:
        """Give what the language model reads: words and visual tokens, (B, L, D)."""
        media_BL = batch.ids == MEDIA_ID
        words_BLD: Tensor = self.language_model.get_input_embeddings()(
            batch.ids.masked_fill(media_BL, 0)
        )
        if self.numeric_bos:
            words_BLD = _with_numeric_bos(words_BLD, batch, self.language_model.config.bos_token_id)
        clips = 0 if batch.video is None else len(batch.video)
        check_splice(batch.places.media_in_row, clips, self.cfg.num_visual_tokens)
        _check_instructions(batch, clips)
        if batch.video is None:
            return words_BLD
        visual_NQD = self.visual_tokens(batch.video, batch.instruction_ids, batch.instruction_mask)
        visual_MD = visual_NQD.to(words_BLD.dtype).flatten(0, 1)
        spliced = words_BLD.flatten(0, 1).index_copy(0, batch.places.media, visual_MD)
        return spliced.view_as(words_BLD)

    def _hidden(self, batch: ChatBatch) -> Tensor:
        hidden_BLD: Tensor = self.language_model.base_model(
            inputs_embeds=self.embedded(batch),
            attention_mask=causal_mask(batch.mask, is_padded=batch.places.is_padded),
            position_ids=(batch.mask.cumsum(dim=1) - 1).clamp(min=0),
            use_cache=False,
        ).last_hidden_state
        return hidden_BLD

    def _head(self, hidden: Tensor) -> Tensor:
        head = cast(Any, self.language_model.get_output_embeddings())
        logits: Tensor = head(hidden)
        return logits

    def _label_log_likelihoods(self, batch: ChatBatch) -> Tensor:
        """Log likelihood of each label, row by row, (K,)."""
        if batch.labels is None:
            raise SpliceError("the batch has no labels")
        before_K = batch.places.before_labels
        # The head is wide: it is only asked where an answer is trained.
        logits = self._head(self._hidden(batch).flatten(0, 1).index_select(0, before_K))
        labels_K = batch.labels.flatten().index_select(0, before_K + 1)
        return -functional.cross_entropy(logits.float(), labels_K, reduction="none")


def check_splice(placeholders_B: Sequence[int], clips: int, tokens_a_clip: int) -> None:
    """Check that placeholders and visual tokens match in number.

    Raises:
        SpliceError: They differ; both numbers are named.
    """
    for row, count in enumerate(placeholders_B):
        if count % tokens_a_clip:
            raise SpliceError(
                f"sequence {row} has {count} placeholders, not a multiple of "
                f"{tokens_a_clip} visual tokens a clip; was it truncated?"
            )
    if sum(placeholders_B) != clips * tokens_a_clip:
        raise SpliceError(
            f"the sequences have {sum(placeholders_B)} placeholders, "
            f"{clips} clips give {clips * tokens_a_clip} visual tokens"
        )


def _with_numeric_bos(words_BLD: Tensor, batch: ChatBatch, bos_id: int | None) -> Tensor:
    """The original's fault: BOS's number in every channel of the first token, not its embedding."""
    first_ids_B = batch.places.first_ids
    if bos_id is None or any(first_id != bos_id for first_id in first_ids_B):
        raise SpliceError(
            f"bos: reference needs sequences that begin with the language model's BOS ({bos_id}), "
            f"not with {list(first_ids_B)}"
        )
    where_L = torch.arange(words_BLD.shape[1], device=words_BLD.device)
    first_BL = where_L == batch.mask.argmax(dim=1, keepdim=True)
    return words_BLD.masked_fill(first_BL[..., None], float(bos_id))


def _check_instructions(batch: ChatBatch, clips: int) -> None:
    if batch.instruction_ids is not None and len(batch.instruction_ids) != clips:
        raise SpliceError(
            f"the batch has {len(batch.instruction_ids)} instructions for {clips} clips"
        )
