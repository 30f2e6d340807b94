"""Stage 2: visual tokens become words; captions with the language model frozen."""

from jobs.batches import CaptionBatches, Chat
from jobs.build import chat_tokenizer
from jobs.engine import language_model_dtype
from jobs.job import Job
from jobs.trainer import begin, train
from model.stages import initialise
from model.templates import TEMPLATES
from model.video_chat import VideoChat


def run(job: Job) -> None:
    """Trains the stage on this rank; see `jobs.trainer.train` for what it raises."""
    recipe, config = begin(job)
    module = VideoChat(
        config, stage=2, freeze=recipe.freeze, dtype=language_model_dtype(recipe.precision)
    )
    job.clock.mark("model")
    carried = initialise(module, job.required_weights(), stage=2)
    job.clock.mark("weights")
    chat = Chat(
        chat_tokenizer(job.spec.model),
        TEMPLATES[config.template],
        config.num_visual_tokens,
        recipe.max_text_tokens,
        recipe.pad_to_multiple,
    )
    batches = CaptionBatches(chat, recipe.seed, config.caption_end_trained)
    train(job, module, batches, image_size=config.video_encoder.image_size, carried=carried)
