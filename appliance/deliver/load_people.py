"""Keeps a warehouse's table of who is who as it is in the graph: changes go in as loads of their own, in order.

Their cursor stands beside that of the events, under a name and a log_id of its own, so that nothing is left out
however a process or the warehouse ends. A graph that was made anew is taken over from its beginning.
"""

import asyncio

from appliance.deliver.instance import Instance
from appliance.deliver.outcome import Result
from appliance.deliver.ports import People, Stage
from appliance.deliver.stream import Stream
from appliance.sdk import Load


class LoadedPeople:
    """Lives on the delivery loop."""

    def __init__(self, people: People, stage: Stage, instance: Instance, stream: Stream) -> None:
        self._people, self._stage, self._instance = people, stage, instance
        self._name = f"{stream.key}/people"
        self._cursor: int | None = None

    def forget(self) -> None:
        """Ask the warehouse anew how far it is."""
        self._cursor = None

    @property
    def waits(self) -> bool:
        """Whether there are changes that the warehouse lacks."""
        return self._cursor is None or self._cursor < self._people.last_changed

    async def next(self, loaded_at: str, most: int) -> Result | None:
        """Load the next changes; None where there are none."""
        graph_id = self._people.graph_id
        if self._cursor is None:
            result, known = await self._instance.inspect(self._name)
            if known is None:
                return result
            self._cursor = known.cursors.get(graph_id, 0)
        ids, upto = await asyncio.to_thread(self._people.changed, self._cursor, most)
        if upto == self._cursor:
            return None
        load = Load(
            stream=self._name,
            log_id=graph_id,
            first_sequence=self._cursor + 1,
            last_sequence=upto,
            loaded_at=loaded_at,
            tables=[self._stage.people(ids, loaded_at)],
        )
        result = await self._instance.load(load)
        if result.kind == "succeeded":
            self._cursor = upto
        return result
