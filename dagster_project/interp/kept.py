"""Kept parts: what a long computation has finished, so that one that was killed goes on from there.

A part is one frame in one file of a folder, written beside itself and renamed. The file starts
with the BLAKE2 digest of the rest: one that is torn, cut or changed counts as none. Whose
parts they are is for the folder's name to say.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import polars as pl

DIGEST = 32  # bytes


class Kept(NamedTuple):
    """The finished parts of one computation."""

    folder: Path  # made when the first part is kept

    def get(self, part: int) -> pl.DataFrame | None:
        """A part's frame; None where there is none that is whole."""
        try:
            stored = self._file(part).read_bytes()
        except FileNotFoundError:
            return None
        digest, content = stored[:DIGEST], stored[DIGEST:]
        return pl.read_ipc_stream(BytesIO(content)) if digest == _digest(content) else None

    def put(self, part: int, frame: pl.DataFrame) -> None:
        """Keep a part's frame."""
        content = frame.write_ipc_stream(None, compression="zstd").getvalue()
        file = self._file(part)
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_bytes(_digest(content) + content)
        temporary.replace(file)

    def _file(self, part: int) -> Path:
        return self.folder / f"{part:06d}.arrow"


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=DIGEST).digest()
