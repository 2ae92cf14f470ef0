"""Speed of the generated corpus on one core: `python -m bench.generator`.

Tokens a second of documents, of their lines, and of the documents stage that makes the lines,
parses them and hashes the texts; by processor time, the best of some runs. A token is a word, a
number or a mark, since the generated corpus's tokenizer holds each of them whole.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

from rich.console import Console
from rich.table import Table

from dagster_project.embedded.corpus import document, line
from dagster_project.interp.corpus import MANIFEST, extend, shards_of
from dagster_project.interp.documents import documents, parse
from dagster_project.interp.sources import EMBEDDED, source_at
from dagster_project.studies.study import CorpusSpec

TOKEN = re.compile(r"\n| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]| +")
DOCUMENTS = 10_000
RUNS = 5


def seconds(make: Callable[[], Iterable[object]]) -> float:
    """Processor time of the fastest run."""
    times = []
    for _ in range(RUNS):
        started = time.process_time()
        deque(make(), maxlen=0)
        times.append(time.process_time() - started)
    return min(times)


def main() -> None:
    rows = range(DOCUMENTS)
    tokens = sum(len(TOKEN.findall(document(0, row).text)) for row in rows)
    source = source_at(EMBEDDED, CorpusSpec(embedded=True))
    (shard,) = shards_of(extend(MANIFEST.to_frame(), [source], DOCUMENTS, max_shards=1))
    lines = [line(0, row) for row in rows]
    steps: Mapping[str, Callable[[], Iterable[object]]] = {
        "document()": lambda: (document(0, row) for row in rows),
        "line()": lambda: (line(0, row) for row in rows),
        "parse()": lambda: (parse(raw, source) for raw in lines),
        "documents stage": lambda: documents(shard, source),
    }
    table = Table("step", "tokens a second", "ms a document")
    for name, make in steps.items():
        taken = seconds(make)
        table.add_row(name, f"{tokens / taken:,.0f}", f"{1000 * taken / DOCUMENTS:.3f}")
    Console().print(table)
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"
    Console().print(f"{DOCUMENTS:,} documents of {tokens / DOCUMENTS:.1f} tokens ({machine})")


if __name__ == "__main__":
    main()
