"""Each command line and each pipeline that a page shows is one that the program takes."""

import importlib
import re

import pytest

from launcher import cli
from launcher.errors import UsageError
from launcher.pipeline import load_pipeline
from launcher.pipeline.schema import PipelineSection
from tests.docs.pages import DOCS, ROOT, blocks, commands, words

LEAST = {
    "name": "name: shown\n",
    "cluster": "cluster: {time_limit: 12h}\n",
    "stages": "stages: {first: {command: ['true']}}\n",
}
"""What a part of a pipeline file lacks to be one."""


def parse(line: list[str]) -> None:
    """Reads a command line as the program does, and runs nothing."""
    parser, subparsers = cli._parsers()
    if line[0] not in subparsers:
        raise UsageError(f"no command {line[0]}")
    importlib.import_module(f"launcher.commands.{line[0]}").add_arguments(subparsers[line[0]])
    _, unknown = parser.parse_known_args(line)
    if unknown:
        raise UsageError(f"unrecognized arguments: {' '.join(unknown)}")


@pytest.mark.parametrize("command", commands(), ids=str)
def test_command_line_in_a_page_is_one_that_the_program_takes(command):
    line = words(command)

    if len(line) == 1 and command.is_inline:  # it is only spoken of
        assert line[0] in cli.COMMANDS
    elif not line[0].startswith("--"):
        parse(line)


@pytest.mark.parametrize("line", [["statsu"], ["status", "--jsn"], ["why"], ["cron", "instal"]])
def test_command_line_that_the_program_does_not_take_is_found(line):
    with pytest.raises(UsageError):
        parse(line)


def test_pages_name_every_command():
    named = {words(command)[0] for command in commands()}

    assert sorted(set(cli.COMMANDS) - named) == []


def is_of_a_pipeline(text: str) -> bool:
    """Whether a block of YAML holds anything of a pipeline file, and not of another program's."""
    keys = re.findall(r"^(\w+):", text, re.MULTILINE)
    return not set(keys).isdisjoint((*PipelineSection.model_fields, "finetune"))


def pipeline_of(text: str) -> str:
    """A block of YAML as a whole file: what it does not say is added."""
    included = re.sub(
        r'--8<-- "(.+)"', lambda name: (DOCS / name[1]).read_text(encoding="utf-8"), text
    )
    given = re.findall(r"^(\w+):", included, re.MULTILINE)
    return "".join(line for key, line in LEAST.items() if key not in given) + included


@pytest.mark.parametrize(
    "block", [b for b in blocks("yaml") if "--8<--" in b.text or is_of_a_pipeline(b.text)], ids=str
)
def test_pipeline_in_a_page_is_read_without_a_fault(block, tmp_path):
    text = block.text
    if block.page.name == "README.md":  # a stage, beside others
        text = "stages:\n  stage2: {reuse: weights.pth}\n" + re.sub("^", "  ", text, flags=re.M)
    (tmp_path / "pipeline.yaml").write_text(pipeline_of(text))

    pipeline = load_pipeline(tmp_path / "pipeline.yaml", environ={})

    assert pipeline.stages


def test_table_of_the_original_names_keys_that_exist():
    page = (DOCS / "from-videochat2.md").read_text(encoding="utf-8")
    reference = (DOCS / "pipeline-file.md").read_text(encoding="utf-8")
    sections = dict(
        re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", reference, re.MULTILINE | re.DOTALL)
    )

    named = re.findall(r"`(cluster|train|model)\.(\w+)", page)

    assert len(named) > 20
    assert [(s, key) for s, key in named if f"| `{key}` |" not in sections[s]] == []


def test_settings_of_the_original_are_those_of_the_recipe():
    page = (DOCS / "from-videochat2.md").read_text(encoding="utf-8")
    stages = {stage.name: stage for stage in load_pipeline(ROOT / "pipeline.yaml").stages}
    told = {
        here: (stage2, stage3)
        for stage2, stage3, here in re.findall(
            r"\| ([\d.e-]+) \| ([\d.e-]+) \| `train\.(\w+)", page
        )
    }

    assert {"frames", "batch_per_gpu", "lr", "epochs", "warmup_epochs", "lr_floor"} <= told.keys()
    for key, values in told.items():
        if float(values[0]) >= 0 and key != "log_every_s":
            for name, value in zip(("stage2", "stage3"), values, strict=True):
                assert getattr(stages[name].train, key) == float(value), key
