"""Statements that a reader writes, answered where they can do no harm.

`snapshot` copies the lake's tables into a file of their own, `statement` takes exactly one select
over them, `worker` answers it in a process bounded by DuckDB and by the operating system, `runner`
starts and ends that process, `keeper` keeps the snapshot up with the lake, `routes` is the door.
Each bound holds without the others.
"""
