"""Stages that are other programs, in the pipeline file."""

import pytest

from jobs.contract.command import Command, Progress, Stop, Watched
from launcher.findings import notes
from launcher.intent import stage_spec
from launcher.pipeline import load_pipeline, missing_inputs
from launcher.plan import make_plan
from launcher.show.plan import plan_row
from tests.launcher.pipelines import GOOD, faults, load

ALONE = """\
name: demo
cluster:
  nodes: 2
  gpus_per_node: 4
  time_limit: 12h
stages:
  tune:
    expect: {total: 3h}
    command: [torchrun, --nproc_per_node, 4, train.py, --lr, 2e-5]
  judge:
    needs: [tune]
    cluster: {nodes: 1}
    command:
      argv: [python, judge.py, "{parent:tune}"]
      checkpoints: none
"""
WHOLE = """\
      argv: [python, train.py, --out, "{checkpoints}"]
      when_resuming: [--resume_from_checkpoint, "{resume}"]
      layout: task
      cwd: code
      env: {SEED: 3, TASK: "{stage}"}
      stop: {signal: SIGUSR1, to: first, grace_s: 12}
      checkpoints: {glob: "out/step-*", step_regex: 'step-([0-9]+)', complete_when: done.txt}
      done: "out/model.*"
      progress: {match: ['step (?P<step>[0-9]+)'], total_steps: 90}
"""


def with_command(lines: str) -> str:
    """The small pipeline whose last stage, at line 10, has these lines from line 14 on."""
    return ALONE[: ALONE.index("      argv: [python, judge")] + lines


def test_list_alone_is_the_program_and_its_arguments(tmp_path):
    stage = load(tmp_path, ALONE).stage("tune")

    assert stage.kind == "command"
    assert stage.command == Command(
        argv=("torchrun", "--nproc_per_node", "4", "train.py", "--lr", "2e-05"), cwd=tmp_path
    )


def test_every_key_of_a_command_is_read(tmp_path):
    command = load(tmp_path, with_command(WHOLE)).stage("judge").command

    assert command == Command(
        argv=("python", "train.py", "--out", "{checkpoints}"),
        when_resuming=("--resume_from_checkpoint", "{resume}"),
        layout="task",
        cwd=tmp_path / "code",
        env={"SEED": "3", "TASK": "{stage}"},
        stop=Stop(signal="SIGUSR1", to="first", grace_s=12),
        checkpoints=Watched(
            glob="out/step-*", step_regex="step-([0-9]+)", complete_when=("done.txt",)
        ),
        done="out/model.*",
        progress=Progress(match=("step (?P<step>[0-9]+)",), total_steps=90),
    )


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("stop: SIGINT", {"stop": Stop(signal="SIGINT")}),
        ("stop: none", {"stop": Stop(signal="none")}),
        ("checkpoints: none", {"checkpoints": Watched(watch=False)}),
        ("progress: huggingface", {"progress": Progress(match=("huggingface",))}),
        ("progress: 'at (?P<step>.)'", {"progress": Progress(match=("at (?P<step>.)",))}),
        ("when_resuming: --resume={resume}", {"when_resuming": ("--resume={resume}",)}),
    ],
)
def test_short_form_of_a_key_stands_for_the_long_one(tmp_path, line, read):
    text = with_command(f"      argv: [a.out]\n      {line}\n")

    command = load(tmp_path, text).stage("judge").command

    assert command == Command(argv=("a.out",), cwd=tmp_path, **read)


@pytest.mark.parametrize("text", [ALONE, with_command(WHOLE)])
def test_resolved_file_loads_to_an_equal_pipeline_elsewhere(tmp_path, text):
    pipeline = load(tmp_path, text)
    frozen = tmp_path / "run" / "pipeline.yaml"
    frozen.parent.mkdir()

    frozen.write_text(pipeline.resolved_yaml(), encoding="utf-8")

    assert load_pipeline(frozen, environ={}) == pipeline


@pytest.mark.parametrize(
    ("argv", "tasks"),
    [
        ("[torchrun, train.py]", 1),
        ("[/opt/bin/accelerate, launch, train.py]", 1),
        ("[python, -m, torch.distributed.run, train.py]", 1),
        ("[python, train.py]", 4),
    ],
)
def test_program_that_starts_the_processes_of_a_node_is_started_once_a_node(tmp_path, argv, tasks):
    stage = load(tmp_path, with_command(f"      argv: {argv}\n")).stage("judge")

    assert stage.cluster.tasks == tasks


@pytest.mark.parametrize(("layout", "tasks"), [("node", 1), ("task", 4)])
def test_layout_says_how_many_processes_a_node_gets(tmp_path, layout, tasks):
    text = with_command(f"      argv: [torchrun, train.py]\n      layout: {layout}\n")

    assert load(tmp_path, text).stage("judge").cluster.tasks == tasks


def test_job_is_told_all_of_its_command(tmp_path):
    pipeline = load(tmp_path, with_command(WHOLE).replace("  nodes: 2", "  signal_lead: 3m"))

    spec = stage_spec(pipeline, pipeline.stage("judge"), "run-1", "abc")

    assert (spec.command, spec.signal_lead_s) == (pipeline.stage("judge").command, 180)
    assert (spec.train, spec.evaluate, spec.parents) == (None, None, ("tune",))


def test_command_takes_its_place_in_the_plan(tmp_path):
    first, second = make_plan(load(tmp_path, ALONE)).stages

    assert plan_row(first) == ("tune", "train.py", "2 x 4", "-", "-", "3 h", "24")
    assert plan_row(second) == ("judge", "judge.py", "1 x 4", "tune", "-", "-", "-")


def test_folder_of_a_command_is_an_input(tmp_path):
    pipeline = load(tmp_path, with_command(WHOLE))

    assert missing_inputs(pipeline) == [f"stages.judge.command.cwd: {tmp_path}/code does not exist"]


MAKES_MEDIA = """\
  make:
    command: {argv: [make-media], checkpoints: none, cwd: .}
  between:
    needs: [make, first]
    train: &train
      {entry: stage2, lr: 1, global_batch: 8, data: [{annotations: a.json, media: made}]}
  behind:
    needs: [between]
    train: *train
  apart:
    needs: [first]
    train:
      entry: stage2
      lr: 1
      global_batch: 8
      data: [{annotations: there.json, media: MEDIA}]
"""


def making_media(folder, media):
    """A command, stages behind it that read `a.json` and `made`, and one apart from it."""
    head = GOOD[: GOOD.index("  second:")]
    (folder / "weights").mkdir()
    (folder / "weights/first.pth").touch()
    (folder / "there.json").touch()
    return load(folder, head + MAKES_MEDIA.replace("MEDIA", media))


def test_data_that_a_command_has_to_make_first_are_told_and_no_finding(tmp_path):
    pipeline = making_media(tmp_path, ".")

    assert missing_inputs(pipeline) == []
    assert notes(pipeline) == [
        f"p.yaml:12: stages.between.train.data.0.annotations: {tmp_path}/a.json does not exist "
        "yet; make has to make it",
        f"p.yaml:12: stages.between.train.data.0.media: {tmp_path}/made does not exist yet; "
        "make has to make it",
    ]


def test_data_of_a_stage_that_no_command_comes_before_must_be_there(tmp_path):
    pipeline = making_media(tmp_path, "made")

    assert missing_inputs(pipeline) == [
        f"stages.apart.train.data.0.media: {tmp_path}/made does not exist"
    ]
    assert len(notes(pipeline)) == 1


def test_command_gives_no_weights_to_our_own_stages(tmp_path):
    more = (
        "  tune:\n    needs: [second]\n    command: [a.out]\n"
        "  last:\n    needs: [tune]\n    evaluate: {tasks: [{name: a, annotations: a}]}\n"
    )

    assert faults(tmp_path, GOOD + more) == [
        "p.yaml:30: stages.last.needs: an evaluation starts from another stage's weights; "
        "name that stage"
    ]


def test_pipeline_with_stages_of_our_own_needs_a_model(tmp_path):
    assert faults(tmp_path, GOOD.replace("model: {preset: tiny}", "")) == [
        "p.yaml:1: model: missing; give it a value"
    ]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("      argv: []\n", "14: stages.judge.command.argv: must not be empty, not []"),
        ("      layout: task\n", "13: stages.judge.command.argv: missing; give it a value"),
        (
            "      argv: [a.out]\n      layout: rank\n",
            "15: stages.judge.command.layout: must be 'task' or 'node', not 'rank'",
        ),
        (
            "      argv:\n      - a.out\n      - '{resum}'\n",
            "16: stages.judge.command.argv.1: {resum} is no name of this launcher's; known: "
            "attempt, checkpoints, gpus_per_node, local_rank, master_addr, master_port, "
            "node_rank, nodes, parent, python, rank, resume, run_folder, stage, stage_folder, "
            "stop_file, when_resuming, world_size; write {{resum}} to pass it on as it is",
        ),
        (
            "      argv: [a.out, '{resume}']\n",
            "14: stages.judge.command.argv.1: {resume} can only be when_resuming; move it there",
        ),
        (
            "      argv: [a.out, 'x{when_resuming}']\n",
            "14: stages.judge.command.argv.1: {when_resuming} can only be an item of argv alone; "
            "move it there",
        ),
        (
            "      argv: [a.out, '{parent}']\n",
            "14: stages.judge.command.argv.1: write {parent:STAGE}",
        ),
        (
            "      argv: [a.out, '{parent:other}']\n",
            "13: stages.judge.command: {parent:other} is no parent; add it to needs, which are: "
            "tune",
        ),
        (
            "      argv: [a.out, true]\n",
            "14: stages.judge.command.argv.1: must be text (quote it), not True",
        ),
        (
            "      argv: [a.out]\n      stop: {sygnal: SIGINT}\n",
            "15: stages.judge.command.stop.sygnal: unknown key; did you mean 'signal'? "
            "known: signal, to, grace_s",
        ),
        (
            "      argv: [a.out]\n      checkpoints: {step_regex: 'step'}\n",
            "15: stages.judge.command.checkpoints.step_regex: 'step' has no group for the step; "
            r"write such as checkpoint-(\d+)",
        ),
        (
            "      argv: [a.out]\n      progress: '(?P<step>'\n",
            "15: stages.judge.command.progress.match: '(?P<step>' is no regular expression: "
            "missing ), unterminated subpattern at position 0; correct it",
        ),
        (
            "      argv: [a.out]\n      progress: '(?P<steps>.)'\n",
            "15: stages.judge.command.progress.match: no figure is called 'steps'; "
            "known: step, total, loss, epoch, lr",
        ),
        (
            "      argv: [a.out]\n      progress: '(?P<loss>.)'\n",
            "15: stages.judge.command.progress.match: no group is called step; "
            r"write such as step (?P<step>\d+)",
        ),
        (
            "      argv: [a.out]\n      env: {A-B: 1}\n",
            "15: stages.judge.command.env.A-B: must match ^[A-Za-z_][A-Za-z0-9_]*$, not 'A-B'",
        ),
        (
            "      argv: [torchrun, train.py]\n    cluster: {nodes: 1, tasks_per_node: 4}\n",
            "15: stages.judge.cluster.tasks_per_node: torchrun is started once a node and starts "
            "the rest itself; remove this key, or write command.layout: task",
        ),
        (
            "      argv: [a.out]\n    expect: {epoch: 3h}\n",
            "15: stages.judge.expect.epoch: a command has no epochs; write {total: 20m}",
        ),
        (
            "      argv: [a.out]\n    init_from: tune\n",
            "15: stages.judge.init_from: a command takes weights by its arguments; write "
            "{parent:STAGE} there",
        ),
    ],
)
def test_fault_names_its_line_key_and_remedy(tmp_path, lines, fault):
    text = with_command(lines).replace("    cluster: {nodes: 1}\n", "    # one node\n")

    assert faults(tmp_path, text) == [f"p.yaml:{fault}"]


def test_fault_in_a_list_that_is_the_command_names_the_line_of_the_item(tmp_path):
    text = ALONE[: ALONE.index("    command:")] + "    command:\n    - a.out\n    - '{resume}'\n"

    assert faults(tmp_path, text) == [
        "p.yaml:11: stages.tune.command.argv.1: {resume} can only be when_resuming; move it there"
    ]


def test_command_that_is_one_text_is_refused(tmp_path):
    text = ALONE[: ALONE.index("    command:")] + "    command: a.out --x\n"

    assert faults(tmp_path, text) == [
        "p.yaml:9: stages.tune.command: must be a list; write each argument as an item: "
        "[torchrun, train.py]"
    ]
