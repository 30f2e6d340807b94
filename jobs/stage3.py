"""Stage 3: instruction tuning; the QFormer reads the instruction, adapters are trained."""

from jobs.batches import Chat, ConversationBatches
from jobs.build import chat_tokenizer, qformer_tokenizer
from jobs.engine import language_model_dtype
from jobs.job import Job
from jobs.trainer import begin, train
from model.config import ModelConfig
from model.stages import initialise
from model.templates import TEMPLATES
from model.video_chat import VideoChat


def run(job: Job) -> None:
    """Trains the stage on this rank; see `jobs.trainer.train` for what it raises."""
    recipe, config = begin(job)
    module = VideoChat(
        config, stage=3, freeze=recipe.freeze, dtype=language_model_dtype(recipe.precision)
    )
    job.clock.mark("model")
    initialise(module, job.required_weights(), stage=3)
    job.clock.mark("weights")
    batches = conversation_batches(
        job,
        config,
        recipe.max_text_tokens,
        turns_seed=recipe.seed,
        is_tiled=recipe.tiles is not None,
        multiple=recipe.pad_to_multiple,
    )
    train(job, module, batches, image_size=config.video_encoder.image_size)


def conversation_batches(
    job: Job,
    config: ModelConfig,
    max_text_tokens: int,
    *,
    turns_seed: int | None = None,
    is_tiled: bool = False,
    multiple: int = 1,
) -> ConversationBatches:
    """How conversations become the inputs of this job's model; see `ConversationBatches`."""
    chat = Chat(
        chat_tokenizer(job.spec.model),
        TEMPLATES[config.template],
        config.num_visual_tokens,
        max_text_tokens,
        multiple,
    )
    tile_px = config.video_encoder.image_size if is_tiled else None
    if not config.instruction_in_qformer:
        return ConversationBatches(chat, None, 0, turns_seed, tile_px)
    tokenizer = qformer_tokenizer(job.spec.model)
    tokenizer.truncation_side = "left"  # an instruction's end says most, as in the reference
    return ConversationBatches(chat, tokenizer, config.qformer.max_positions, turns_seed, tile_px)
