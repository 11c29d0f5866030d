from __future__ import annotations

from presents import idle, present, running, waiting

from serve_app.forecast import Forecast, Present, forecast
from serve_app.reasons import Reason, Why, reasons


def reason(of: str, now: Present) -> Reason:
    return reasons(now, forecast(now))[of]


def test_every_waiting_job_has_a_reason() -> None:
    now = present(waiting("1"), waiting("2", "sketch"), waiting("3"))
    assert reasons(now, Forecast()).keys() == {"1", "2", "3"}


def test_a_paused_queue() -> None:
    assert reason("1", present(waiting("1"), paused=True)) == Reason(
        why=Why.PAUSED, message="The queue is paused"
    )


def test_a_share_larger_than_the_cluster() -> None:
    found = reason("1", present(waiting("1"), shares={"Flux": 2.0}))
    assert found == Reason(why=Why.TOO_LARGE, message="Flux needs 2 GPUs and the cluster has 1")
    none = reason("1", present(waiting("1"), gpus=0.0))
    assert none.message == "Flux needs 1 GPU and the cluster has none"


def test_a_deployment_that_could_not_start() -> None:
    now = present(waiting("1"), waiting("2", "sketch"), resting=frozenset({"Flux"}))
    message = "Flux could not start; it is tried again in a moment"
    assert reason("1", now) == Reason(why=Why.CANNOT_START, message=message)
    assert reason("2", now).why is Why.STARTING


def test_a_job_that_starts_now() -> None:
    assert reason("1", present(waiting("1"))) == Reason(why=Why.STARTING, message="Starting")


def test_a_job_that_starts_now_in_place_of_an_idle_model() -> None:
    assert reason("1", present(waiting("1"), idle=(idle("sketch"),))).leaving == "sketch"


def test_the_first_in_line_waits_for_the_model_that_runs_to_leave() -> None:
    found = reason("1", present(waiting("1"), running=(running("sketch", 12.0),)))
    message = "Waiting for sketch to finish (about 12 s)"
    assert found == Reason(why=Why.GPU_BUSY, message=message, leaving="sketch")


def test_the_first_in_line_waits_without_a_time_while_none_is_known() -> None:
    found = reason("1", present(waiting("1"), running=(running("sketch", None),)))
    assert found.message == "Waiting for sketch to finish"


def test_of_several_that_run_the_one_that_ends_first_leaves() -> None:
    calls = (running("wan", 300.0, "a"), running("sketch", 12.0, "b"))
    assert reason("1", present(waiting("1"), running=calls, gpus=2.0)).leaving == "sketch"


def test_an_idle_model_leaves_before_one_that_runs() -> None:
    now = present(
        waiting("1"),
        waiting("2", "sketch"),
        running=(running("wan", 5.0),),
        idle=(idle("ltx"),),
        gpus=2.0,
    )
    assert reason("2", now).leaving == "ltx"


def test_a_deployment_at_its_limit() -> None:
    now = present(waiting("1"), running=(running("paint", 150.0),), gpus=2.0, most=1)
    message = "Waiting for paint to finish (about 2 min)"
    assert reason("1", now) == Reason(why=Why.DEPLOYMENT_BUSY, message=message)


def test_a_first_in_line_that_is_overtaken_is_told_for_how_long_at_most() -> None:
    now = present(
        waiting("1", "sketch"),
        waiting("2"),
        running=(running("paint"),),
        overtaken_s={"1": 15.0},
        max_overtake_s=60.0,
    )
    found = reason("1", now)
    assert (found.why, found.leaving) == (Why.OVERTAKEN, "paint")
    assert found.message == "Jobs of paint go first, because they end sooner, for about 45 s at most"


def test_a_job_behind_others() -> None:
    now = present(waiting("1"), waiting("2", "sketch"), waiting("3"), running=(running("paint", 20.0),))
    second, third = reason("2", now), reason("3", now)
    assert (second.why, second.leaving) == (Why.IN_LINE, "paint")
    assert second.message == "1 job goes first, and paint has to leave (about 30 s)"
    assert (third.why, third.leaving) == (Why.IN_LINE, None)
    assert third.message.startswith("2 jobs go first (about ")


def test_long_waits_are_told_in_minutes_and_hours() -> None:
    hours = present(waiting("1"), running=(running("sketch", 9000.0),))
    assert reason("1", hours).message == "Waiting for sketch to finish (about 2.5 h)"
