from __future__ import annotations

import asyncio

from in_process import until

from serve_app.progress import ProgressWriter
from storage.errors import DatabaseUnavailable
from storage.jobs import JobProgress, Phase


def step(number: int) -> JobProgress:
    return JobProgress(phase=Phase.GENERATING, step=number, total_steps=9)


LOADING = JobProgress(phase=Phase.LOADING, message="Loading")


class Rows:
    """Where progress is written to."""

    def __init__(self) -> None:
        self.written: list[JobProgress] = []
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self.fail = False

    async def write(self, progress: JobProgress) -> None:
        await self.may_finish.wait()
        if self.fail:
            raise DatabaseUnavailable
        self.written.append(progress)

    async def has(self, *progress: JobProgress) -> bool:
        await until(lambda: self.written == list(progress))
        return True


async def test_a_change_of_phase_is_written_at_once() -> None:
    rows = Rows()
    writer = ProgressWriter(rows.write, interval_s=60)
    writer.put(LOADING)
    assert await rows.has(LOADING)
    writer.put(step(0))
    assert await rows.has(LOADING, step(0))
    await writer.close()


async def test_steps_are_gathered_and_only_the_latest_is_written() -> None:
    rows = Rows()
    writer = ProgressWriter(rows.write, interval_s=0.02)
    writer.put(step(0))
    assert await rows.has(step(0))
    for number in range(1, 6):
        writer.put(step(number))
    assert await rows.has(step(0), step(5))
    await writer.close()


async def test_the_same_progress_is_not_written_twice() -> None:
    rows = Rows()
    writer = ProgressWriter(rows.write, interval_s=0)
    for _ in range(3):
        writer.put(LOADING)
        await asyncio.sleep(0.001)
    assert rows.written == [LOADING]
    await writer.close()


async def test_closing_drops_what_waits_at_once() -> None:
    rows = Rows()
    writer = ProgressWriter(rows.write, interval_s=60)
    writer.put(step(0))
    assert await rows.has(step(0))
    writer.put(step(1))
    async with asyncio.timeout(5):
        await writer.close()
    assert rows.written == [step(0)]


async def test_closing_awaits_a_write_that_is_under_way() -> None:
    rows = Rows()
    rows.may_finish.clear()
    writer = ProgressWriter(rows.write)
    writer.put(LOADING)
    await asyncio.sleep(0.001)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0.001)
    assert not closing.done()
    rows.may_finish.set()
    await closing
    assert rows.written == [LOADING]


async def test_a_write_that_fails_does_not_prevent_the_next() -> None:
    rows = Rows()
    rows.fail = True
    writer = ProgressWriter(rows.write, interval_s=0)
    writer.put(LOADING)
    await asyncio.sleep(0.001)
    rows.fail = False
    writer.put(step(0))
    assert await rows.has(step(0))
    await writer.close()


async def test_a_writer_that_wrote_nothing_closes_twice() -> None:
    writer = ProgressWriter(Rows().write)
    await writer.close()
    await writer.close()
