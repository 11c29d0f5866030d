from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from presents import MODELS, idle, present, running, waiting

from serve_app.forecast import HORIZON, Expected, Forecast, forecast


def test_a_job_of_a_loaded_model_runs_at_once() -> None:
    expected = forecast(present(waiting("1"), idle=(idle("paint"),)))
    assert expected.of("1", 1) == Expected(start_s=0.0, end_s=10.0)


def test_a_job_waits_for_what_runs_then_loads_and_runs() -> None:
    expected = forecast(present(waiting("1"), running=(running("sketch", left_s=12.0),)))
    assert expected.of("1", 1) == Expected(start_s=12.0, end_s=12.0 + 30.0 + 10.0)


def test_another_model_of_a_replica_that_is_up_takes_its_switch() -> None:
    expected = forecast(present(waiting("1", "ltx"), idle=(idle("wan"),)))
    assert expected.of("1", 1) == Expected(start_s=0.0, end_s=5.0 + 10.0)


def test_with_two_gpus_two_jobs_start_together() -> None:
    expected = forecast(present(waiting("1"), waiting("2", "sketch"), gpus=2.0))
    assert expected.jobs["1"].start_s == expected.jobs["2"].start_s == 0.0


def test_nothing_is_expected_of_a_paused_queue_nor_of_an_empty_one() -> None:
    assert forecast(present(waiting("1"), paused=True)) == Forecast()
    assert forecast(present()) == Forecast()


def test_nothing_is_expected_of_jobs_after_one_of_which_nothing_is_known() -> None:
    line = (waiting("1"), waiting("2", "sketch"), waiting("3"))
    expected = forecast(present(*line, unknown=frozenset({"2"})))
    assert expected.jobs.keys() == {"1"}
    assert expected.of("2", 2) is expected.of("3", 3) is expected.of("later", 4) is None


def test_nothing_is_expected_behind_a_run_of_which_nothing_is_known() -> None:
    expected = forecast(present(waiting("1"), running=(running("sketch", left_s=None),)))
    assert expected.of("1", 1) is None


def test_a_job_too_large_for_the_cluster_is_expected_never_and_holds_up_nobody() -> None:
    expected = forecast(present(waiting("1", "sketch"), waiting("2"), shares={"SD35": 2.0}))
    assert expected.jobs.keys() == {"2"}


def test_jobs_far_back_are_reckoned_from_the_pace_of_the_first_ones() -> None:
    line = [waiting(str(number)) for number in range(HORIZON + 50)]
    expected = forecast(present(*line, idle=(idle("paint"),)))
    far = expected.of("far", 10_000)
    assert far is not None
    assert far.end_s == pytest.approx(10_000 * 10.0)
    assert far.start_s == pytest.approx(9_999 * 10.0)


@given(
    st.lists(st.sampled_from(sorted(MODELS)), min_size=1, max_size=12),
    st.sampled_from([1.0, 2.0, 3.0]),
    st.sampled_from([0.0, 60.0]),
)
def test_what_is_expected_fits_on_the_gpus(models: list[str], gpus: float, max_overtake_s: float) -> None:
    line = [waiting(str(place), model) for place, model in enumerate(models)]
    expected = forecast(present(*line, gpus=gpus, max_overtake_s=max_overtake_s)).jobs
    assert expected.keys() == {job.id for job in line}
    for job in line:
        moment = expected[job.id].start_s
        assert expected[job.id].end_s >= moment + job.run_s
        assert sum(each.start_s <= moment < each.end_s for each in expected.values()) <= gpus
