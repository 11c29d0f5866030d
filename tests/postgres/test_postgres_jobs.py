"""What every job store promises, on PostgreSQL."""

from test_job_store import *  # noqa: F403
from test_job_store_races import *  # noqa: F403
from test_job_store_twins import compare
from test_resends import *  # noqa: F403
from test_turns import *  # noqa: F403

from storage.stores import Stores


def test_the_stores_cannot_be_told_apart(sql_stores: Stores) -> None:
    compare(sql_stores, examples=5)
