import pytest

from launcher.pipeline.parts import Reuse
from tests.launcher.pipelines import GOOD, faults, load


def test_override_takes_the_place_of_a_value_of_the_file(tmp_path):
    pipeline = load(tmp_path, overrides=["stages.second.train.lr=3e-5"])

    assert pipeline.stage("second").train.lr == 3e-5


def test_override_may_set_a_key_that_the_file_lacks(tmp_path):
    pipeline = load(tmp_path, overrides=["cluster.backend=local", "requeue.failures=0"])

    assert pipeline.stage("second").cluster.backend == "local"
    assert pipeline.requeue.failures == 0


def test_override_reaches_into_a_list_by_index(tmp_path):
    pipeline = load(tmp_path, overrides=["stages.second.train.data.0.media=elsewhere"])

    assert pipeline.stage("second").train.data[0].media == tmp_path / "elsewhere"


def test_override_value_is_read_as_yaml(tmp_path):
    overrides = ["cluster.setup=[a, b]", "stages.first.reuse={path: x.pth}"]

    pipeline = load(tmp_path, overrides=overrides)

    assert pipeline.stage("second").cluster.setup == ("a", "b")
    assert pipeline.stage("first").reuse == Reuse(tmp_path / "x.pth")


def test_last_of_two_overrides_of_a_key_counts(tmp_path):
    pipeline = load(tmp_path, overrides=["cluster.nodes=3", "cluster.nodes=4"])

    assert pipeline.stage("second").cluster.nodes == 4


def test_override_without_a_value_takes_a_value_away(tmp_path):
    pipeline = load(tmp_path, overrides=["stages.third.expect="])

    assert pipeline.stage("third").expect_s is None


def test_override_leaves_the_other_uses_of_an_anchor_alone(tmp_path):
    text = GOOD.replace("cluster:\n", "cluster: &all\n", 1)
    text = text.replace("cluster: {nodes: 1, mem: 512M}", "cluster: *all")

    pipeline = load(tmp_path, text, ["stages.third.cluster.nodes=1"])

    assert [stage.cluster.nodes for stage in pipeline.stages] == [0, 2, 1]


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("cluster.nodes", "write key=value, such as --set cluster.nodes=2"),
        ("=2", "write key=value, such as --set cluster.nodes=2"),
        ("cluster..nodes=2", "write key=value, such as --set cluster.nodes=2"),
        (
            "cluster.nodes=[",
            "not YAML: expected the node content, but found '<stream end>'; "
            "mind indents and quotes",
        ),
        ("cluster.noodes=2", "cluster.noodes: unknown key; did you mean 'nodes'?"),
        ("cluster.nodes=0", "cluster.nodes: must be at least 1, not 0"),
        (
            "stages.secnd.train.lr=1",
            "no stage 'secnd'; did you mean 'second'? known: first, second, third",
        ),
        (
            "stages.second.train.data.1.media=x",
            "'1' is not an item of a list of 1; count from 0 to 0",
        ),
        ("name.x=1", "there is no key 'x' in the plain value 'demo'; set that instead"),
    ],
)
def test_wrong_override_is_named_with_its_fault(tmp_path, override, fault):
    assert faults(tmp_path, overrides=[override]) == [f"--set {override}: {fault}"]


def test_all_wrong_overrides_are_told_at_once(tmp_path):
    assert len(faults(tmp_path, overrides=["a", "b"])) == 2
