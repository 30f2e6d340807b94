"""Segments become ids and labels: pieces, borders, cuts, padding."""

import pytest

from model.batch import pad_prompts
from model.errors import PromptError
from model.prompt import (
    MEDIA_ID,
    Segment,
    TokenizedPrompt,
    Turn,
    render_caption,
    render_conversation,
    tokenize,
)
from model.templates import TEMPLATES


def conversation(name, turns, seconds=(0.4, 1.3)):
    return render_conversation(
        TEMPLATES[name], turns, kind="video", instruction="Answer well .", seconds=seconds
    )


def spell(prompt, tokenizer):
    words = ["M" if i == MEDIA_ID else tokenizer.convert_ids_to_tokens(i) for i in prompt.ids]
    marks = [
        "" if label == -100 else "*" for label, i in zip(prompt.labels, prompt.ids, strict=True)
    ]
    return " ".join(word + mark for word, mark in zip(words, marks, strict=True))


def run(segments, tokenizer, length=100, limit="all"):
    prompt = tokenize(segments, tokenizer, max_text_length=length, num_visual_tokens=2, limit=limit)
    return spell(prompt, tokenizer)


def test_mistral_labels_are_answers_and_their_ends(tokenizer):
    segments = conversation("mistral", [Turn("what", "a dog"), Turn("why", "well")])

    assert run(segments, tokenizer) == (
        "<s> Answer well . [INST] <Video> M M </Video> [/INST] [INST] what [/INST]"
        " a* dog* </s>* [INST] why [/INST] well* </s>*"
    )


def test_vicuna_labels_are_answers_and_role_markers(tokenizer):
    segments = conversation("vicuna", [Turn("what", "a dog"), Turn("why", "well")], seconds=())

    assert run(segments, tokenizer) == (
        "<s> Answer well . ### Human: <Video> M M </Video> ###* Human:* what"
        " ###* Assistant:* a* dog* ###* Human:* why ###* Assistant:* well* ###*"
    )


def test_phi3_labels_are_answers_and_their_ends(tokenizer):
    segments = conversation("phi3", [Turn("what", "a dog"), Turn("why", "well")])

    assert run(segments, tokenizer) == (
        "<s> <|system|> Answer well . <|end|> <|user|> <Video> M M </Video> what <|end|>"
        " <|assistant|> a* dog* <|end|>* <|user|> why <|end|> <|assistant|> well* <|end|>*"
    )


def test_caption_labels_are_the_caption_and_its_end(tokenizer):
    segments = render_caption(
        TEMPLATES["mistral"], kind="video", prompt="Describe", caption="a man runs"
    )

    assert run(segments, tokenizer) == (
        "<s> [INST] <Video> M M </Video> Describe [/INST] a* man* runs* </s>*"
    )


def test_label_is_the_id_at_its_own_position(tokenizer):
    prompt = tokenize(
        conversation("mistral", [Turn("what", "a dog")]),
        tokenizer,
        max_text_length=99,
        num_visual_tokens=2,
    )

    trained = [(i, label) for i, label in zip(*prompt, strict=True) if label != -100]
    assert all(token_id == label for token_id, label in trained)


def test_long_conversation_is_cut_on_the_right(tokenizer):
    segments = conversation("mistral", [Turn("what", "a dog")])

    assert run(segments, tokenizer, length=12) == (
        "<s> Answer well . [INST] <Video> M M </Video> [/INST] [INST] what [/INST] a*"
    )


def test_long_caption_is_cut_without_counting_the_prompt(tokenizer):
    segments = render_caption(
        TEMPLATES["mistral"], kind="video", prompt="Describe", caption="a man runs"
    )

    assert run(segments, tokenizer, length=2, limit="trained") == (
        "<s> [INST] <Video> M M </Video> Describe [/INST] a* man*"
    )


def test_text_that_leaves_no_room_for_the_clip_is_refused(tokenizer):
    with pytest.raises(PromptError, match="before the clip has 6 tokens, max_text_length 4"):
        run(conversation("mistral", [Turn("what", "a dog")]), tokenizer, length=4)


class Chunks:
    """Tokens of a fixed number of characters, no BOS."""

    bos_token_id = None

    def __init__(self, size):
        self.size = size

    def __call__(self, text, *, add_special_tokens, return_offsets_mapping):
        assert (add_special_tokens, return_offsets_mapping) == (False, True)
        spans = [(i, min(i + self.size, len(text))) for i in range(0, len(text), self.size)]
        return {"input_ids": [ord(text[begin]) for begin, _ in spans], "offset_mapping": spans}


def test_tokenizer_without_bos_gets_none():
    segments = [Segment("ab"), Segment("", is_media=True), Segment("c"), Segment("d", trained=True)]

    prompt = tokenize(segments, Chunks(1), max_text_length=9, num_visual_tokens=1)

    assert prompt == TokenizedPrompt([97, 98, -200, 99, 100], [-100, -100, -100, -100, 100])


def test_segment_that_is_not_joined_is_tokenised_on_its_own():
    segments = [Segment("abc"), Segment("def", trained=True, joined=False), Segment("gh")]

    prompt = tokenize(segments, Chunks(2), max_text_length=9, num_visual_tokens=1)

    # ab, c, de, fg, h
    assert prompt.ids == [ord(first) for first in "acdfh"]
    assert prompt.labels == [-100, -100, ord("d"), -100, -100]


def test_token_over_a_border_is_trained_when_its_end_is():
    segments = [Segment("abc"), Segment("def", trained=True), Segment("gh")]

    prompt = tokenize(segments, Chunks(2), max_text_length=9, num_visual_tokens=1)

    # ab, cd, ef, gh
    assert prompt.labels == [-100, ord("c"), ord("e"), -100]


@pytest.mark.parametrize(
    ("side", "ids", "labels"),
    [
        ("right", [[5, 6, 7], [8, 0, 0]], [[-100, 6, 7], [8, -100, -100]]),
        ("left", [[5, 6, 7], [0, 0, 8]], [[-100, 6, 7], [-100, -100, 8]]),
    ],
)
def test_prompts_are_padded_on_the_asked_side(side, ids, labels):
    prompts = [TokenizedPrompt([5, 6, 7], [-100, 6, 7]), TokenizedPrompt([8], [8])]

    batch = pad_prompts(prompts, pad_id=0, side=side)

    assert (batch.ids.tolist(), batch.labels.tolist()) == (ids, labels)
    assert batch.mask.tolist() == [[1, 1, 1], [1, 0, 0] if side == "right" else [0, 0, 1]]
