"""Text about the little world, for a language model that is to know it before it can see.

`python -m jobs.data.text OUT --rows 20000` writes conversations without clips: where the
clip would stand, the scene is told in words. A model trained on them knows the questions and
their answers; what is left for stages 2 and 3 is to see.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jobs.contract.files import write_atomic
from jobs.data.world import ASPECTS, STATEMENT, Scene, caption, open_turns, scenes
from model.templates import CAPTION_PROMPTS

Row = dict[str, list[dict[str, str]]]


def text_rows(rng: np.random.Generator, count: int) -> list[Row]:
    """Conversations in the text-only form of `jobs.data.annotations`.

    Every second one asks for a caption, the others ask questions.
    """
    every = scenes()
    makers = (_caption_row, _question_row)
    return [
        makers[number % len(makers)](every[int(rng.integers(len(every)))], rng)
        for number in range(count)
    ]


def told(scene: Scene, rng: np.random.Generator) -> str:
    """The scene in words where a clip would stand: a sentence, or its features in any order."""
    if rng.random() < 0.5:  # noqa: PLR2004 - one half
        return STATEMENT.format(caption=caption(scene, rng))
    features = [scene.value(ASPECTS[place]) for place in rng.permutation(len(ASPECTS))]
    return " ".join(features)


def _caption_row(scene: Scene, rng: np.random.Generator) -> Row:
    prompts = CAPTION_PROMPTS["video"]
    prompt = prompts[int(rng.integers(len(prompts)))]
    question = f"<Video>{told(scene, rng)}</Video> {prompt}"
    return {"QA": [{"i": "", "q": question, "a": caption(scene, rng)}]}


def _question_row(scene: Scene, rng: np.random.Generator) -> Row:
    turns = open_turns(scene, rng)
    opening = f"{turns[0].instruction} [INST] <Video>{told(scene, rng)}</Video> [/INST]"
    return {
        "QA": [
            {"i": "" if number else opening, "q": turn.question, "a": turn.answer}
            for number, turn in enumerate(turns)
        ]
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m jobs.data.text",
        description="Make the text that the tiny language model is trained on.",
    )
    parser.add_argument("out", type=Path, help="JSON file to write")
    parser.add_argument("--rows", type=int, default=20_000, help="conversations (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (%(default)s)")
    args = parser.parse_args(argv)
    rng = np.random.default_rng((args.seed, 0x7E47))
    write_atomic(args.out, json.dumps(text_rows(rng, args.rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
