"""A few deaths of the sorts that `make chaos` has a hundred of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.chaos.campaign import Campaign, Outcome
from tests.chaos.machine import Machine
from tests.chaos.table import lines
from tests.chaos.victims import Sort


def deaths_of(machine: Machine, sorts: Sequence[Sort], kills: int) -> Outcome:
    try:
        outcome = Campaign(machine, kills=kills, sorts=sorts, seed=0).run()
    finally:
        machine.end()
    assert len(outcome.deaths) == kills
    assert not outcome.verdict.wrong, "\n".join(lines(outcome))
    assert outcome.verdict.most_attempts <= 3
    assert outcome.verdict.statuses["completed"] > 0
    return outcome


def test_a_server_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    deaths_of(Machine.of_one_process(tmp_path / "home"), ("machine",), kills=2)


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_whatever_dies_no_job_is_lost_doubled_or_left_half_done(tmp_path: Path) -> None:
    """The dispatcher's in the middle; at the end, as in every campaign, the whole machine's."""
    deaths_of(Machine.real(tmp_path / "home", lease_s=10), ("dispatcher",), kills=1)
