"""Collection: node effects as they come, batch by batch, until they can be aggregated by site.

Memory: the nonzero effects of all examples, summed over positions where the aggregation says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.aggregation import aggregate, per_example
from dagster_project.interp.node_effects import Attribution
from dagster_project.studies.study import Aggregation


@dataclass(frozen=True)
class Collection:
    """Effects of a task's examples, by site in forward order."""

    aggregation: Aggregation
    effects: dict[str, list[pl.DataFrame]] = field(default_factory=lambda: defaultdict(list))
    totals: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))
    changes: dict[str, list[Tensor]] = field(default_factory=lambda: defaultdict(list))

    def add(self, found: Attribution) -> None:
        """One site of one batch."""
        effects = per_example(found.nodes, found.examples, self.aggregation)
        self.effects[found.site].append(effects)
        self.totals[found.site].append(found.total.cpu().double())
        self.changes[found.site].append(found.true_change.cpu().double())

    def node_effects(self, threshold: float, resamples: int, seed: int) -> Iterator[pl.DataFrame]:
        """Frames of the node_effects table without method, site by site; the effects are let go."""
        for site in list(self.effects):
            n_examples = sum(len(part) for part in self.totals[site])
            effects = pl.concat(self.effects.pop(site))
            nodes = aggregate(effects, n_examples, threshold, resamples, seed)
            yield nodes.with_columns(site=pl.lit(site), aggregation=pl.lit(self.aggregation))

    def site_effects(self) -> pl.DataFrame:
        """The site_effects table without method: how far effects add up to the true change."""
        rows = []
        for site, parts in self.totals.items():
            total, change = torch.cat(parts), torch.cat(self.changes[site])
            residual = total - change
            rows.append(
                {
                    "site": site,
                    "sum_of_effects": float(total.mean()),
                    "true_change": float(change.mean()),
                    "residual": float(residual.mean()),
                    "mean_abs_residual": float(residual.abs().mean()),
                    "max_abs_residual": float(residual.abs().max()),
                    "n_examples": len(total),
                }
            )
        return pl.DataFrame(rows)
