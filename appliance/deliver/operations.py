"""What operators do to queues: bring dead letters back into them. On the delivery loop."""

import asyncio
from collections import Counter
from collections.abc import Mapping

from appliance.core import logs
from appliance.core.event import Record
from appliance.deliver.ports import Pipeline, Station
from appliance.deliver.reviving import revived
from appliance.wal.log import DeadLetter, HeldJob, Log, Transaction

_LOG = logs.logger("deliver")


async def requeue(
    ids: list[int], edited: Record | None, log: Log, pipeline: Pipeline, workers: Mapping[str, Station]
) -> int:
    """Bring dead letters back into their lanes at their original sequence; returns how many there still were.

    Args:
        edited: takes the place of the original.
        workers: by stream; letters of destinations without one stay where they are.

    Raises:
        ValueError: the destination of the edited event has not come to it yet.
    """
    now_ms = log.log_now_ms()
    letters = [letter for each in ids if (letter := log.dead_letter(each)) is not None]
    jobs = {
        one.id: job for one in letters if one.destination in workers and (job := _job(one, edited, pipeline, now_ms))
    }
    busy = {workers[job.destination] for job in jobs.values()}
    for worker in busy:
        await worker.block_loads()
    taken = {worker.stream.destination: worker.taken for worker in busy}
    if edited and any(job.sequence > taken[job.destination] for job in jobs.values()):
        for worker in busy:
            worker.requeued({})
        raise ValueError(
            "the destination has not come to this event yet, and will get it as it was; the letter was kept"
        )
    back: list[HeldJob] = []

    def change(transaction: Transaction) -> list[HeldJob]:
        found = [jobs[letter.id] for letter in transaction.exhume(list(jobs))]
        # Of what the destination has not come to yet (a replay gave it up first), the log brings the event.
        held = [job for job in found if job.sequence <= taken[job.destination]]
        places = {(job.destination, job.lane, job.sequence, job.part): job for job in held}
        transaction.hold(list(places.values()))
        for job in held:
            transaction.took(job.destination, job.sequence)
        return found

    try:
        back = await asyncio.wrap_future(log.write(change))
    finally:
        for worker in busy:
            mine = {
                (job.lane, job.sequence, job.part)
                for job in back
                if workers.get(job.destination) is worker and job.sequence <= taken[job.destination]
            }
            worker.requeued(Counter(lane for lane, _, _ in mine))
    return len(back)


def _job(letter: DeadLetter, edited: Record | None, pipeline: Pipeline, now_ms: int) -> HeldJob | None:
    """The letter as a job anew; None where its event still cannot be prepared: it stays where it is."""
    try:
        return revived(letter, edited, pipeline, now_ms)
    except Exception as error:  # whatever an event does to the pipeline, the other letters go back
        _LOG.warning(
            "letter_not_requeued",
            letter=letter.id,
            destination=letter.destination,
            error=f"{type(error).__name__}: {error}",
            kept="the dead letter",
        )
        return None
