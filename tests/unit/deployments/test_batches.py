"""Which outputs are made together, and how the steps of each job are counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deployments.batches import Sample, StepCount, in_batches
from deployments.contract import JobEvent, Progress, Saving
from tests.generation import generation_request, model_spec

FLUX = model_spec("flux")
PAIR = generation_request(FLUX, job_id="pair", num_outputs=2)
ONE = generation_request(FLUX, job_id="one", seed=100)


def samples(*widths: int) -> list[Sample]:
    return [Sample(request=generation_request(FLUX, width=width), output=0) for width in widths]


def widths(batch: tuple[Sample, ...]) -> list[int]:
    return [sample.request.width for sample in batch]


@given(st.lists(st.sampled_from([16, 32, 48])), st.integers(min_value=0, max_value=4))
def test_nothing_is_lost_nothing_is_mixed_and_no_batch_is_too_large(sizes: list[int], limit: int) -> None:
    batches = list(
        in_batches(
            samples(*sizes),
            limit=lambda sample: limit,
            fits=lambda first, other: first.request.width == other.request.width,
        )
    )
    assert [width for batch in batches for width in widths(batch)] == sizes
    assert all(len(set(widths(batch))) == 1 for batch in batches)
    assert all(1 <= len(batch) <= max(limit, 1) for batch in batches)


def test_batches_are_as_large_as_they_may_be() -> None:
    batches = in_batches(samples(*[16] * 7), limit=lambda sample: 3, fits=lambda first, other: True)
    assert [len(batch) for batch in batches] == [3, 3, 1]


def test_the_limit_is_asked_for_each_batch_anew() -> None:
    limits = {16: 4}
    sizes = []
    line = samples(*[16] * 8)
    for batch in in_batches(line, limit=lambda s: limits[s.request.width], fits=lambda first, other: True):
        sizes.append(len(batch))
        limits[16] = 2
    assert sizes == [4, 2, 2]


def test_each_output_has_its_own_seed() -> None:
    assert [Sample(request=PAIR, output=k).seed for k in range(2)] == [7, 8]


def test_steps_count_over_all_outputs_of_a_job() -> None:
    steps = StepCount([PAIR, ONE])
    first = [Sample(request=PAIR, output=0), Sample(request=ONE, output=0)]
    second = [Sample(request=PAIR, output=1)]
    assert list(steps.begun()) == [told("pair", 0, 4), told("one", 0, 2)]
    assert list(steps.after(1, first)) == [told("pair", 1, 4), told("one", 1, 2)]
    assert list(steps.after(2, first)) == [
        told("pair", 2, 4),
        told("one", 2, 2),
        JobEvent(job_id="pair", event=Saving(output=0)),
        JobEvent(job_id="one", event=Saving(output=0)),
    ]
    steps.made(first)
    assert list(steps.after(1, second)) == [told("pair", 3, 4)]


def test_steps_of_outputs_made_at_once_count_at_once() -> None:
    steps = StepCount([PAIR])
    both = [Sample(request=PAIR, output=0), Sample(request=PAIR, output=1)]
    assert list(steps.after(1, both)) == [told("pair", 2, 4)]


def test_steps_of_a_call_that_failed_are_taken_back() -> None:
    steps = StepCount([PAIR])
    both = [Sample(request=PAIR, output=0), Sample(request=PAIR, output=1)]
    list(steps.after(1, both))
    assert list(steps.after(1, both[:1])) == [told("pair", 1, 4)]


def told(job_id: str, step: int, total: int) -> JobEvent:
    return JobEvent(job_id=job_id, event=Progress(step=step, total_steps=total))
