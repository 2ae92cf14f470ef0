"""Places in pools that runs hold, and runs whose process was killed: it frees none of its own."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from dagster_project.lake.writer import alive, host

PROCESS_TAG = ".dagster/circuit_lake_pid"  # of a run; hidden in the UI, as the prefix says


def settle_abandoned_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of a process that was killed as failed, and free the places in pools that ended
    runs still hold: nothing else would, and the next run would wait for ever."""
    under_way = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(under_way):
        where, _, pid = run.tags.get(PROCESS_TAG, "").partition("~")
        if where == host() and not alive(int(pid)):
            instance.report_run_failed(run, message="The process of this run was killed.")
    storage = instance.event_log_storage
    for pool in storage.get_concurrency_keys():
        info = storage.get_concurrency_info(pool)
        for run_id in info.active_run_ids | info.pending_run_ids:
            found = instance.get_run_by_id(run_id)
            if found is None or found.is_finished:  # its places would be taken for ever
                storage.free_concurrency_slots_for_run(run_id)


def places_taken(instance: dg.DagsterInstance, pools: Iterable[str]) -> str | None:
    """Says which runs hold all places of a pool that the next run needs; None: there is room."""
    for pool in pools:
        info = instance.event_log_storage.get_concurrency_info(pool)
        if info.slot_count and info.active_slot_count >= info.slot_count:
            runs = ", ".join(sorted(info.active_run_ids))
            return f"Waiting for a place in the pool {pool}, held by run {runs}."
    return None
