from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from db.ledger import Ledger
from db.schema import Run, StageRun, Submission
from db.states import StageKind, StageState
from tests.postgresql import PostgreSQL


def a_stage(stage: str, position: int, needs: list[str], run_id: str) -> StageRun:
    intent = Submission(
        token=f"{run_id}-{stage}-1", fence=1, spec={"stage": stage}, parents=[], created_at=1.0
    )
    return StageRun(
        stage=stage,
        position=position,
        kind=StageKind.TRAIN,
        needs=needs,
        state=StageState.SUBMITTING,
        nodes=4,
        gpus_per_node=8,
        tasks_per_node=8,
        total_steps=100,
        resumable=True,
        cluster="slurm",
        updated_at=1.0,
        submissions=[intent],
    )


@pytest.fixture
def make_run() -> Callable[..., Run]:
    def make(run_id: str = "first", *, created_at: float = 1.0) -> Run:
        return Run(
            id=run_id,
            name="videochat2",
            folder=f"runs/{run_id}",
            pipeline_yaml="name: videochat2\n",
            code_sha="abc",
            code_dirty=False,
            submitted_by="someone",
            created_at=created_at,
            stages=[a_stage("stage3", 1, ["stage2"], run_id), a_stage("stage2", 0, [], run_id)],
        )

    return make


ON_A_FILE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For what only SQLite has."""
ON_A_SERVER = pytest.mark.parametrize("url", ["postgresql"], indirect=True)


@pytest.fixture(scope="session")
def server() -> Iterator[PostgreSQL]:
    with PostgreSQL() as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("server")
        made = server.new_database()
        yield made
        server.drop(made)  # a thousand files each: at the end they took minutes
    else:
        yield f"sqlite:///{tmp_path / 'runs' / 'ledger.db'}"


@pytest.fixture
def ledger(url: str) -> Ledger:
    return Ledger.open(url, create=True)
