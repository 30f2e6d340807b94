"""Stage 1's model put to compare, against the sums that it is trained with."""

import pytest
import torch

from jobs.batches import text_tensors
from jobs.build import model_config
from jobs.contract.evaluation import Evaluate
from jobs.data.dataset import BadClip, SampleKey
from jobs.data.loader import Batch
from jobs.data.tokenizer import build_tokenizer
from jobs.evaluation.gallery import open_gallery
from jobs.evaluation.retrieval import Encoder, Pairs, unpacked, vectors_of
from jobs.evaluation.sets import open_parts
from model.contrastive import similarity
from model.video_text import VideoTextPretraining


@pytest.fixture(scope="module")
def encoder(material) -> Encoder:
    torch.manual_seed(4)
    module = VideoTextPretraining(model_config(material.spec("s1").model)).eval()
    return Encoder(module, build_tokenizer(), torch.device("cpu"))


@pytest.fixture(scope="module")
def part(material):
    task = {"name": "pairs", "annotations": str(material.clips / "train_pairs.json")}
    wanted = Evaluate.model_validate({"kind": "retrieval", "tasks": [task], "limit": 6})
    return open_parts(wanted, frames=2, size_px=32)[0]


@pytest.fixture(scope="module")
def samples(part):
    return tuple(part.dataset[SampleKey(0, index)] for index in part.indices)


@torch.no_grad()
def test_similarity_is_that_of_the_contrastive_loss(encoder, part, samples):
    module = encoder.module
    texts = [sample.item.caption for sample in samples]
    queries = module.qformer.queries(module.visual(Batch(samples).stacked())).hidden
    words = module.qformer.text(*text_tensors(encoder.tokenizer, texts, 32))[:, 0]
    expected = similarity(
        module.video_projection(queries), module.text_projection(words), torch.ones(1)
    )

    found = encoder.encode(part, Batch(samples[:4])) | encoder.encode(part, Batch(samples[4:]))

    gallery = open_gallery(part)
    scores = gallery.similarities(*vectors_of([found[index] for index in part.indices]))
    assert len(gallery.rows) == 6
    for row in range(6):
        ours = scores[row, list(gallery.text_of)]
        torch.testing.assert_close(ours, expected[row], atol=1e-6, rtol=0)


def test_text_of_an_unreadable_clip_is_still_looked_for(encoder, part, samples):
    bad = BadClip("pairs", "gone.mp4", "OSError", "no such file", SampleKey(0, 1))

    found = encoder.encode(part, Batch((), (bad,)))

    whole = encoder.encode(part, Batch(samples))[1]
    assert found == {1: {"clip": None, "text": found[1]["text"]}}
    torch.testing.assert_close(unpacked(found[1]["text"]), unpacked(whole["text"]))


@torch.no_grad()
def test_match_is_the_logit_of_the_head_that_is_trained(encoder, part, samples):
    gallery = open_gallery(part)
    wanted = [[0], [1, 0], [], [2], [0, 1, 2], [1]]

    found = Pairs(encoder, gallery, wanted).match(Batch(samples))

    for sample, numbers in zip(samples, wanted, strict=True):
        expected = [_logit(encoder, sample, gallery.texts[number]) for number in numbers]
        logits = found[sample.key.index]
        assert list(logits) == [str(number) for number in numbers]
        assert list(logits.values()) == pytest.approx(expected, abs=1e-5)


def _logit(encoder: Encoder, sample, text: str) -> float:
    """The logit that a pair belongs together; the loss in training says that it is the one."""
    module = encoder.module
    visual = module.visual(sample.video_TCHW[None])
    ids, mask = text_tensors(encoder.tokenizer, [text], 32)
    hidden = module.qformer.multimodal(visual, ids, mask)
    queries, itself = module.cfg.qformer.num_queries, torch.zeros(1, dtype=torch.long)
    seen = torch.cat([hidden[:, :queries].mean(dim=1), hidden[:, queries]], dim=1)
    logits = module.match_head(seen)[0]
    loss = module.match(visual, (ids, mask), (itself, itself), torch.zeros(1, dtype=torch.bool))
    assert float(loss) == pytest.approx(float(logits.logsumexp(0) - logits[1]), abs=1e-5)
    return float(logits[1])
