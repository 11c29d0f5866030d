from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_app.estimates import Estimate, Estimator, size_of
from storage.jobs import RunRecord, Warmth

SMALL = {"width": 64, "height": 64, "num_inference_steps": 10, "guidance_scale": 3.5, "num_images": 1}

seconds = st.floats(min_value=0.01, max_value=1e4)
sizes = st.fixed_dictionaries(
    {
        "width": st.sampled_from([64, 128, 1024]),
        "height": st.sampled_from([64, 256]),
        "num_inference_steps": st.integers(1, 50),
        "guidance_scale": st.sampled_from([1.0, 5.0]),
        "num_images": st.integers(1, 8),
        "num_frames": st.none() | st.integers(5, 81),
    }
)


def record(run_s: float = 2.0, **changes: Any) -> RunRecord:
    values: dict[str, Any] = {
        "model": "flux",
        "settings": SMALL,
        "load_seconds": 5.0,
        "run_seconds": run_s,
        "warmth": Warmth.COLD,
        "batch_size": 1,
    }
    return RunRecord(**(values | changes))


def test_nothing_is_known_without_records() -> None:
    assert Estimator().run_s("flux", SMALL) is None
    assert Estimator().load_s("flux", Warmth.WARM) is None


def test_one_model_tells_nothing_of_another() -> None:
    assert Estimator([record()]).run_s("sd35", SMALL) is None
    assert Estimator([record()]).load_s("sd35", Warmth.COLD) is None


def test_runs_of_the_same_size_tell_by_their_median() -> None:
    records = [record(run_s) for run_s in (1.0, 3.0, 100.0)]
    assert Estimator(records).run_s("flux", SMALL) == 3.0


def test_another_size_is_reckoned_by_the_rate_of_the_nearest() -> None:
    large = SMALL | {"width": 256, "height": 256}
    estimator = Estimator([record(2.0), record(64.0, settings=large)])
    assert estimator.run_s("flux", SMALL | {"num_inference_steps": 20}) == pytest.approx(4.0)
    assert estimator.run_s("flux", large | {"num_inference_steps": 5}) == pytest.approx(32.0)


def test_a_guided_run_is_reckoned_from_guided_ones() -> None:
    plain = SMALL | {"guidance_scale": 1.0}
    estimator = Estimator([record(1.0, settings=plain), record(20.0, settings=SMALL | {"width": 640})])
    assert estimator.run_s("flux", SMALL) == pytest.approx(2.0)


def test_a_batch_is_known_by_its_own_runs() -> None:
    estimator = Estimator([record(2.0), record(3.0, batch_size=4)])
    assert estimator.run_s("flux", SMALL, batch_size=4) == 3.0
    assert estimator.run_s("flux", SMALL | {"num_images": 4}) == 3.0
    assert estimator.run_s("flux", SMALL) == 2.0


@pytest.mark.parametrize(
    ("known", "asked", "expected"),
    [
        (Warmth.COLD, Warmth.SWAP, 5.0),
        (Warmth.SWAP, Warmth.COLD, 5.0),
        (Warmth.SWAP, Warmth.SWAP, 5.0),
        (Warmth.COLD, Warmth.SWITCH, 5.0),
        (Warmth.SWITCH, Warmth.SWAP, None),
        (Warmth.WARM, Warmth.COLD, None),
        (Warmth.COLD, Warmth.WARM, None),
    ],
)
def test_a_load_that_was_never_seen_takes_as_long_as_the_next_like_it(
    known: Warmth, asked: Warmth, expected: float | None
) -> None:
    assert Estimator([record(warmth=known)]).load_s("flux", asked) == expected


@given(st.lists(st.tuples(seconds, sizes), min_size=1, max_size=8), sizes)
def test_an_estimate_keeps_within_the_rates_that_were_seen(
    runs: list[tuple[float, dict[str, Any]]], asked: dict[str, Any]
) -> None:
    estimate = Estimator(record(run_s, settings=size) for run_s, size in runs).run_s("flux", asked)
    rates = [run_s / size_of(size).work for run_s, size in runs]
    work = size_of(asked).work
    assert estimate is not None
    assert min(rates) * work <= estimate * (1 + 1e-9)
    assert estimate <= max(rates) * work * (1 + 1e-9)


@given(st.lists(st.tuples(seconds, sizes), min_size=1, max_size=8), st.randoms())
def test_the_order_of_the_records_does_not_matter(
    runs: list[tuple[float, dict[str, Any]]], random: Any
) -> None:
    records = [record(run_s, settings=size) for run_s, size in runs]
    shuffled = random.sample(records, len(records))
    before, after = Estimator(records), Estimator(shuffled)
    for _, size in runs:
        assert before.run_s("flux", size) == after.run_s("flux", size)


def test_a_model_that_was_never_loaded_so_is_taken_to_load_like_others() -> None:
    seen = [record(model=name, load_seconds=load_s) for name, load_s in [("a", 3.0), ("b", 7.0), ("c", 8.0)]]
    estimator = Estimator([record(warmth=Warmth.SWITCH, load_seconds=1.0), *seen])
    assert estimator.load_s("flux", Warmth.SWAP) == 7.0
    assert estimator.load_s("flux", Warmth.SWITCH) == 1.0
    assert estimator.load_s("unheard of", Warmth.SWAP) is None


def test_the_arbiter_gets_what_is_known_and_assumptions_for_the_rest() -> None:
    assert Estimator().estimate("flux", SMALL) == Estimate()
    known = Estimator([record(2.0)]).estimate("flux", SMALL)
    assert known == Estimate(run_s=2.0, load_s=5.0, switch_s=5.0, known=True)


def test_what_passes_before_the_first_step_of_a_loaded_model_counts_as_running() -> None:
    warm = record(2.0, warmth=Warmth.WARM, load_seconds=0.5)
    estimate = Estimator([record(2.0, warmth=Warmth.SWAP), warm]).estimate("flux", SMALL)
    assert (estimate.run_s, estimate.load_s) == (2.5, 4.5)
