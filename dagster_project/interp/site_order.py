"""Site order: frames that come batch by batch, each of one site, given back site by site.

A batch of the model holds all sites; a file wants one site after the other, sorted by feature, so
that the statistics of its row groups prune by both. Frames wait on disk as Arrow streams in one
nameless file a site, which vanish with the process. Memory: the rows of one site, twice while
they are sorted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, NamedTuple

import polars as pl


class _Waiting(NamedTuple):
    """Frames of one site on disk."""

    file: IO[bytes]
    sizes: list[int]  # bytes of each frame, in order

    def add(self, frame: pl.DataFrame) -> None:
        self.sizes.append(self.file.write(frame.write_ipc_stream(None).getbuffer()))

    def frames(self) -> Iterator[pl.DataFrame]:
        self.file.seek(0)
        for size in self.sizes:
            yield pl.read_ipc_stream(BytesIO(self.file.read(size)))


def by_site(frames: Iterable[pl.DataFrame], folder: Path) -> Iterator[pl.DataFrame]:
    """The same rows, one frame a site, sites by name, sorted by feature, context, pos.

    frames: not empty, each of one `site`; folder: where there is room for all of them.
    """
    with ExitStack() as opened:
        waiting: dict[str, _Waiting] = {}
        for frame in frames:
            site = frame["site"][0]
            if site not in waiting:
                file = opened.enter_context(TemporaryFile(dir=folder))
                waiting[site] = _Waiting(file, [])
            waiting[site].add(frame)
        for site in sorted(waiting):
            yield pl.concat(waiting[site].frames()).sort("feature", "context_id", "pos")
