import sqlite3
from threading import Timer

import pytest

from db.engine import open_engine
from db.journal import file_system, journal_mode, read_mounts
from tests.db.conftest import ON_A_FILE

MOUNTS = """\
/dev/sda1 / ext4 rw,relatime 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/fast xfs rw 0 0
lustre@tcp:/work /work lustre rw 0 0
sshfs /mnt/over\\040ssh fuse.sshfs rw 0 0
/dev/sdc1 /twice ext4 rw 0 0
beegfs /twice beegfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "mode"),
    [
        ("/var/runs", "WAL"),
        ("/home/me/runs", "DELETE"),
        ("/home/fast/runs", "WAL"),
        ("/home/faster", "DELETE"),
        ("/work", "DELETE"),
        ("/workshop", "WAL"),
        ("/mnt/over ssh/runs", "DELETE"),
        ("/twice/runs", "DELETE"),
    ],
)
def test_journal_follows_the_longest_mount_point(tmp_path, folder, mode):
    assert journal_mode(type(tmp_path)(folder), MOUNTS) == mode


def test_journal_is_the_careful_one_where_mounts_are_unknown(tmp_path):
    assert journal_mode(tmp_path, "") == "DELETE"


@ON_A_FILE
def test_ledger_has_the_journal_of_its_folder(tmp_path, url):
    mode = journal_mode(tmp_path.resolve(), read_mounts())

    engine = open_engine(url, create=True)

    assert file_system(tmp_path.resolve(), read_mounts()) is not None
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode.lower()


@ON_A_FILE
def test_journal_is_set_once_the_writer_in_the_way_has_ended(tmp_path, url):
    open_engine(url, create=True)
    writer = sqlite3.connect(
        tmp_path / "runs" / "ledger.db", isolation_level=None, check_same_thread=False
    )
    writer.execute("PRAGMA journal_mode = DELETE")
    writer.execute("BEGIN IMMEDIATE")
    end = Timer(0.3, writer.rollback)
    end.start()

    engine = open_engine(url, create=False)

    end.join()
    writer.close()
    mode = journal_mode(tmp_path.resolve(), read_mounts())
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == mode.lower()
