"""Task rules: how a task's circuits are made, whether the study names it or it is a cluster."""

from __future__ import annotations

from typing import Literal, NamedTuple

from dagster_project.studies.study import Aggregation, EdgeKind, Study


class TaskRules(NamedTuple):
    """What of a task's configuration its node effects and circuits read."""

    aggregation: Aggregation
    metric: Literal["log_prob", "logit"]  # of the answer, where there is no patch
    node_threshold: float  # in the unit of the metric
    edge_threshold: float  # likewise, of direct edges
    edge_kinds: tuple[EdgeKind, ...]  # one circuit each
    total_threshold: float  # likewise, of total edges


def task_rules(study: Study, task: str) -> TaskRules:
    """Rules of a task of the study, or of a cluster; its own thresholds before the study's."""
    spec, clusters, circuits = study.tasks.get(task), study.cluster_tasks, study.circuits
    own = clusters if spec is None else spec
    node, edge = own.node_threshold, own.edge_threshold
    node = circuits.node_threshold if node is None else node
    kinds = spec.edge_kinds if spec else None
    total = spec.total_threshold if spec else None
    total = circuits.total_threshold if total is None else total
    return TaskRules(
        aggregation="sum" if spec is None else spec.aggregation,
        metric=own.metric,
        node_threshold=node,
        edge_threshold=circuits.edge_threshold if edge is None else edge,
        edge_kinds=kinds or circuits.edge_kinds,
        total_threshold=node if total is None else total,
    )
