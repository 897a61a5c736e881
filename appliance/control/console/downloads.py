"""Files on their way from a console to its browser; one that breaks off never passes for whole."""

from textual_serve.download_manager import DownloadManager


class Downloads(DownloadManager):
    """textual-serve's, which ends a file in one way whether its console sent the end of it, hangs or is gone."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: set[str] = set()

    async def chunk_received(self, delivery_key: str, chunk: bytes | str) -> None:
        """A piece of a file; an empty one is its end, and comes from the console alone."""
        if not chunk and delivery_key in self._active_downloads:
            self._whole.add(delivery_key)
        await super().chunk_received(delivery_key, chunk)

    def came_whole(self, delivery_key: str) -> bool:
        """Whether all of a file was handed on; told once, when `download` has ended."""
        whole = delivery_key in self._whole
        self._whole.discard(delivery_key)
        return whole
