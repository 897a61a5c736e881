"""What operators do to queues: bring dead letters back into them, and hasten whoever waits. On the delivery loop."""

import asyncio
from collections import Counter
from collections.abc import Mapping

import msgspec

from appliance.core.event import Record, pack_event
from appliance.deliver.ports import Pipeline
from appliance.deliver.worker import Worker
from appliance.wal.log import DeadLetter, HeldJob, Log, Transaction

_RECORD = msgspec.msgpack.Decoder(Record)


async def requeue(
    ids: list[int], edited: Record | None, log: Log, pipeline: Pipeline, workers: Mapping[str, Worker]
) -> int:
    """Bring dead letters back into their lanes at their original sequence; returns how many there still were.

    Args:
        edited: takes the place of the original.
        workers: by stream; letters of destinations without one stay where they are.
    """
    letters = [letter for each in ids if (letter := log.dead_letter(each)) is not None]
    jobs = {letter.id: _revived(letter, edited, log, pipeline) for letter in letters if letter.destination in workers}
    busy = {workers[job.destination] for job in jobs.values()}
    for worker in busy:
        await worker.block_loads()
    revived: list[HeldJob] = []

    def change(transaction: Transaction) -> list[HeldJob]:
        found = [jobs[letter.id] for letter in transaction.exhume(list(jobs))]
        places = {(job.destination, job.lane, job.sequence, job.part): job for job in found}
        transaction.hold(list(places.values()))
        return found

    try:
        revived = await asyncio.wrap_future(log.write(change))
    finally:
        for worker in busy:
            mine = {(job.lane, job.sequence, job.part) for job in revived if workers.get(job.destination) is worker}
            worker.requeued(Counter(lane for lane, _, _ in mine))
    return len(revived)


def drain(worker: Worker, now_ms: int) -> int:
    """Try everybody now who waits for a next try; returns how many people that is. `now_ms` is log time."""
    hastened = worker.order.queues.hasten(lambda: now_ms)
    worker.order.breaker.probe_soon(now_ms)
    worker.wake()
    return hastened


def _revived(letter: DeadLetter, edited: Record | None, log: Log, pipeline: Pipeline) -> HeldJob:
    """The job anew: the original event through the present pipeline, or as it was where the original is gone."""
    lane, packed = letter.lane, letter.event
    if letter.record:
        record = edited or _RECORD.decode(letter.record)
        lane, event = pipeline.event(record)
        packed = pack_event(event)
    return HeldJob(
        destination=letter.destination,
        lane=lane,
        sequence=letter.sequence,
        part=letter.part,
        attempts=0,
        next_try_ms=0,
        first_failed_ms=0,
        held_ms=log.log_now_ms(),
        error="requeued",
        event=packed,
    )
