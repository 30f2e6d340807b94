"""Stage 1: the QFormer learns to find, to match and to caption clips."""

from jobs.batches import PairBatches
from jobs.build import qformer_tokenizer
from jobs.job import Job
from jobs.trainer import begin, train
from model.stages import FROZEN_IN, initialise
from model.video_text import VideoTextPretraining


def run(job: Job) -> None:
    """Trains the stage on this rank; see `jobs.trainer.train` for what it raises."""
    recipe, config = begin(job)
    kept = tuple(name for name in FROZEN_IN[1] if name not in recipe.unfreeze)
    module = VideoTextPretraining(config, freeze=(*kept, *recipe.freeze))
    job.clock.mark("model")
    weights = job.initial_weights()
    if weights is not None:
        initialise(module, weights, stage=1)
    job.clock.mark("weights")
    batches = PairBatches(
        qformer_tokenizer(job.spec.model), recipe.max_text_tokens, recipe.pad_to_multiple
    )
    train(job, module, batches, image_size=config.video_encoder.image_size)
