"""Each fault with its whole text and line."""

import pytest

from launcher.errors import UsageError
from launcher.pipeline import load_pipeline
from tests.launcher.pipelines import GOOD, faults

KINDS = "reuse, train, evaluate, command"
STAGE_KEYS = f"needs, {KINDS}, expect, cluster, init_from, resumable, requeue"


def swapped(old, new):
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("name: demo", "name: my demo", "1: name: must match ^[A-Za-z0-9_-]+$, not 'my demo'"),
        ("name: demo", "", "1: name: missing; give it a value"),
        (
            "stages:",
            "requeue: {failure: 1}\nstages:",
            "7: requeue.failure: unknown key; did you mean 'failures'? "
            "known: no_progress, failures, storm, max_gpu_hours, deadline, hang",
        ),
        (
            "  nodes: 2",
            "  noodes: 2",
            "4: cluster.noodes: unknown key; did you mean 'nodes'?",
        ),
        ("  nodes: 2", "  nodes: 0", "4: cluster.nodes: must be at least 1, not 0"),
        ("  nodes: 2", "  nodes: 0-4", "4: cluster.nodes: must be at least 1, not 0-4"),
        (
            "  nodes: 2",
            "  nodes: 2-4\n  sbatch: {ntasks: 8}",
            "5: cluster.sbatch: with nodes: 2-4 the launcher sets 'ntasks' itself; leave it out",
        ),
        (
            "  nodes: 2",
            "  nodes: 2-5\n  tasks_per_node: 3",
            "18: stages.second.train.global_batch: global_batch 64 cannot be shared by 15 ranks; "
            "change it, batch_per_gpu, or nodes and tasks_per_node",
        ),
        (
            "  nodes: 2",
            "  nodes: 4-2",
            "4: cluster.nodes: a range begins with the fewest; write 2-4, not 4-2",
        ),
        (
            "  nodes: 2",
            "  nodes: 2..4",
            "4: cluster.nodes: must be a whole number, or a range such as 2-4, not '2..4'",
        ),
        (
            "gpus_per_node: 4",
            "gpus_per_node: -1",
            "5: cluster.gpus_per_node: must be at least 0, not -1",
        ),
        (
            "  nodes: 2",
            "  tasks_per_node: 8",
            "4: cluster.tasks_per_node: 8 ranks cannot share 4 GPUs; give at most one rank per GPU",
        ),
        ("  time_limit: 12h\n", "", "3: cluster.time_limit: missing; give it a value"),
        (
            "time_limit: 12h",
            "time_limit: 12",
            "6: cluster.time_limit: 12 is not a duration; write 12h, 90m, 30s or 1-12:00:00",
        ),
        (
            "time_limit: 12h",
            "time_limit: 2m",
            "6: cluster.time_limit: 2m is over before the job is told to save, "
            "2m (signal_lead) ahead of its end; raise it",
        ),
        (
            "  nodes: 2",
            "  cpus_per_gpu: 2\n  cpus_per_task: 2",
            "5: cluster.cpus_per_task: Slurm takes either cpus_per_gpu or cpus_per_task; "
            "remove one",
        ),
        (
            "mem: 512M",
            "mem: 512",
            "22: stages.third.cluster.mem: 512 is not a size; write 900G or 512M",
        ),
        (
            "needs: [second]",
            "needs: [secnd]",
            "21: stages.third.needs: no stage 'secnd'; did you mean 'second'? known: first, second",
        ),
        (
            "needs: [second]",
            "needs: [second, second]",
            "21: stages.third.needs: 'second' is named twice; remove one",
        ),
        (
            "    needs: [second]\n",
            "",
            "20: stages.third.needs: an evaluation starts from another stage's weights; "
            "name that stage",
        ),
        (
            "    needs: [first]\n",
            "",
            "10: stages.second.needs: entry stage2 starts from another stage's weights; "
            "name that stage",
        ),
        (
            "    needs: [first]",
            "    needs: [first]\n    init_from: third",
            "12: stages.second.init_from: 'third' is no parent with weights; name one of first",
        ),
        (
            "    needs: [first]",
            "    needs: [second, first]",
            "11: stages.second.needs: a cycle, second -> second; remove one of these needs",
        ),
        (
            "    reuse: weights/first.pth",
            "    resumable: true",
            f"8: stages.first: does nothing; give one of {KINDS}",
        ),
        (
            "    needs: [second]",
            "    needs: [second]\n    reuse: x.pth",
            f"20: stages.third: gives reuse and evaluate; give one of {KINDS}",
        ),
        (
            "    reuse: weights/first.pth",
            "    reuse: weights/first.pth\n    cluster: {nodes: 1}",
            "10: stages.first.cluster: a reused stage has no job; remove this key",
        ),
        (
            "    reuse: weights/first.pth",
            "    reuse: {path: weights/first.pth, sha256: abc}",
            "9: stages.first.reuse.sha256: must match ^[0-9a-f]{64}$, not 'abc'",
        ),
        (
            "  third:",
            "  third:\n    epochs: 3",
            f"21: stages.third.epochs: unknown key; known: {STAGE_KEYS}",
        ),
        (
            "  third:",
            "  the third:",
            "20: stages.the third: must match ^[A-Za-z0-9_-]+$, not 'the third'",
        ),
        (
            "  nodes: 2",
            "  nodes: 2\n  sbatch: {ntasks-per-node: 3}",
            "5: cluster.sbatch: 'ntasks-per-node' has a key of its own; write "
            "cluster.tasks_per_node instead",
        ),
        (
            "  nodes: 2",
            "  nodes: 2\n  sbatch: {job_name: mine}",
            "5: cluster.sbatch: the launcher sets 'job_name' itself; leave it out",
        ),
        (
            "lr: 1e-4",
            "lr: 1e-4\n      checkpoint: {every: soon}",
            "17: stages.second.train.checkpoint.every: 'soon' is neither a number of steps, 1 or "
            "more, nor auto",
        ),
        (
            "lr: 1e-4",
            "lr: 0",
            "16: stages.second.train.lr: must be greater than 0, not 0",
        ),
        (
            "lr: 1e-4",
            "lr: fast",
            "16: stages.second.train.lr: must be a number, not 'fast'",
        ),
        ("      lr: 1e-4\n", "", "13: stages.second.train.lr: missing; give it a value"),
        (
            "epochs: 2",
            "epochs: 1.5",
            "15: stages.second.train.epochs: must be a whole number, not 1.5",
        ),
        (
            "entry: stage2",
            "entry: stage9",
            "14: stages.second.train.entry: must be 'language_model', 'stage1', 'stage2' or "
            "'stage3', not 'stage9'",
        ),
        (
            "media: data/a}",
            "medai: data/a}",
            "19: stages.second.train.data.0.medai: unknown key; did you mean 'media'? "
            "known: annotations, media, name, directional, kind, fps",
        ),
        (
            "global_batch: 64",
            "global_batch: 60",
            "17: stages.second.train.global_batch: global_batch 60 cannot be shared by 8 ranks; "
            "change it, batch_per_gpu, or nodes and tasks_per_node",
        ),
        (
            "batch_per_gpu: 4",
            "batch_per_gpu: 3",
            "17: stages.second.train.global_batch: global_batch 64 on 8 ranks is 8 a rank: not a "
            "multiple of batch_per_gpu 3; change it, batch_per_gpu, or nodes and tasks_per_node",
        ),
        (
            "expect: {total: 20m}",
            "expect: {epoch: 20m}",
            "23: stages.third.expect.epoch: an evaluation has no epochs; write {total: 20m}",
        ),
        (
            "expect: {total: 20m}",
            "expect: {epoch: 20m, total: 1h}",
            "23: stages.third.expect: give either epoch or total, such as {epoch: 6h}",
        ),
        (
            "tasks: [{name: Moving, annotations: data/moving.json}]",
            "tasks: []",
            "25: stages.third.evaluate.tasks: must not be empty, not []",
        ),
        (
            "  nodes: 2",
            "  nodes: 2\n  nodes: 4",
            "5: cluster.nodes: given twice, first at p.yaml:4; remove one",
        ),
        (
            "  nodes: 2",
            "  partition: !!python/name:os.system demo",
            "4: cluster.partition: 'demo' cannot be read as tag:yaml.org,2002:python/name:os.system"
            "; write it plainly",
        ),
    ],
)
def test_fault_names_its_line_key_and_remedy(tmp_path, old, new, fault):
    text = swapped(old, new)

    found = faults(tmp_path, text)

    assert found == [f"p.yaml:{fault}"]


def test_stage_that_needs_a_later_one_is_told_where_to_move(tmp_path):
    text = swapped("    needs: [first]", "    needs: [first, fourth]") + (
        "  fourth:\n    reuse: weights/fourth.pth\n"
    )

    assert faults(tmp_path, text) == [
        "p.yaml:11: stages.second.needs: 'fourth' stands later; stages run in the order of the "
        "file: move second below fourth"
    ]


def test_cycle_is_told_once(tmp_path):
    text = swapped("    needs: [first]", "    needs: [first, third]")

    assert faults(tmp_path, text) == [
        "p.yaml:11: stages.second.needs: a cycle, second -> third -> second; "
        "remove one of these needs"
    ]


def test_cluster_fault_of_the_whole_pipeline_is_told_once_for_all_stages(tmp_path):
    assert faults(tmp_path, swapped("  nodes: 2", "  nodes: 0")) == [
        "p.yaml:4: cluster.nodes: must be at least 1, not 0"
    ]


def test_all_faults_come_at_once_in_the_order_of_lines(tmp_path):
    text = swapped("  nodes: 2", "  nodes: none").replace("lr: 1e-4", "lr: -1")
    text = text.replace("[second]", "[secnd]").replace("name: Moving, ", "")

    assert faults(tmp_path, text, ["stages.second.train.epochs=0"]) == [
        "p.yaml:4: cluster.nodes: must be a whole number, or a range such as 2-4, not 'none'",
        "p.yaml:16: stages.second.train.lr: must be greater than 0, not -1",
        "p.yaml:21: stages.third.needs: no stage 'secnd'; did you mean 'second'? "
        "known: first, second",
        "p.yaml:25: stages.third.evaluate.tasks.0.name: missing; give it a value",
        "--set stages.second.train.epochs=0: stages.second.train.epochs: must be at least 1, not 0",
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "p.yaml: is empty; write name, model, cluster and stages into it"),
        (b"# nothing\n", "p.yaml: is empty; write name, model, cluster and stages into it"),
        (b"[a, b]\n", "p.yaml:1: not a mapping; begin with `name: ...`"),
        (
            b"a: b: c\n",
            "p.yaml:1: not YAML: mapping values are not allowed here; mind indents and quotes",
        ),
        (
            b"a: 1\n--- \nb: 2\n",
            "p.yaml:2: not YAML: but found another document; mind indents and quotes",
        ),
        (b"name: x\nb: \xff\n", "p.yaml:2: not UTF-8 (byte 0xff); save it as UTF-8"),
        (b"name: x\n\x07\n", "p.yaml:2: not YAML: special characters are not allowed; remove it"),
        (b"a: &a [*a]\n", "p.yaml: an alias contains itself; write its value out"),
        (b"[" * 5000, "p.yaml: not a pipeline: nested too deeply; flatten it"),
    ],
)
def test_file_that_is_no_pipeline_is_one_clear_line(tmp_path, content, fault):
    (tmp_path / "p.yaml").write_bytes(content)

    assert faults_of_file(tmp_path) == [fault]


def test_missing_file_names_the_pipelines_that_are_there(tmp_path):
    (tmp_path / "other.yaml").touch()

    assert faults_of_file(tmp_path) == ["p.yaml: no such file; here are: other.yaml"]


def test_folder_in_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "p.yaml").mkdir()

    assert faults_of_file(tmp_path) == ["p.yaml: is a folder; name the pipeline file in it"]


def faults_of_file(folder):
    with pytest.raises(UsageError) as caught:
        load_pipeline(folder / "p.yaml", environ={})
    return [line.replace(f"{folder}/", "") for line in caught.value.faults]
