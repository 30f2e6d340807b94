"""Makes the tokenizer of the tiny models: one token for each word of the little world.

`python -m jobs.data.tokenizer OUT` writes what transformers' AutoTokenizer reads. One
tokenizer serves the language model and the QFormer.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from jobs.data.world import vocabulary, words
from model.templates import CAPTION_PROMPTS

SPECIAL = ("[PAD]", "<s>", "</s>", "<unk>", "[CLS]", "[SEP]", "[DEC]")
"""Their places are their ids; `model.config`'s tiny preset counts on 0 for padding, 6 for [DEC]."""
MARKS = ("[INST]", "[/INST]", "<Video>", "</Video>", "<Image>", "</Image>")


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer: lower case, signs apart, `[CLS] text [SEP]` for the QFormer."""
    prompts = [prompt for each in CAPTION_PROMPTS.values() for prompt in each]
    known = sorted({*vocabulary(), *(word for prompt in prompts for word in words(prompt))})
    ids = {word: number for number, word in enumerate([*SPECIAL, *MARKS, *known])}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="<unk>"))  # noqa: S106 - a token of text
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106 - a token of text, as the six below
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        additional_special_tokens=["[DEC]", *MARKS],
        clean_up_tokenization_spaces=False,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.data.tokenizer",
        description="Make the word-level tokenizer of the tiny models.",
    )
    parser.add_argument("out", type=Path, help="folder to write it to")
    args = parser.parse_args(argv)
    build_tokenizer().save_pretrained(args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
