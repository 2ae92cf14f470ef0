"""Mean gradients as rows: what `ig` or `attrib` found at every counted token of every site.

Kept so that edges need no second loop over the steps. Uncounted tokens have no row and read as 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.node_effects import Attribution


def gradient_frame(found: Attribution, method: str, numbers: Sequence[int]) -> pl.DataFrame:
    """Rows method, example, site, pos, gradient of one site and batch.

    numbers: of all the task's examples, in their order; the frame names examples by them.
    """
    row, pos = found.counted.nonzero(as_tuple=True)
    example = np.asarray(numbers)[found.examples[row].cpu().numpy()]
    gradient = found.gradient[row, pos].float().cpu().numpy()
    columns = {
        "example": pl.Series(example, dtype=pl.UInt32),
        "pos": pl.Series(pos.cpu().numpy()).cast(pl.UInt16),
        "gradient": pl.Series(gradient).cast(pl.List(pl.Float32)),
    }
    frame = pl.DataFrame(columns).with_columns(method=pl.lit(method), site=pl.lit(found.site))
    return frame.select("method", "example", "site", "pos", "gradient")


def gradients_by_site(
    frame: pl.DataFrame, numbers: Sequence[int], n_positions: int, device: torch.device
) -> dict[str, Tensor]:
    """site -> ḡ [example, position, d_model], from rows of one method; 0 where there is no row.

    numbers: of the examples wanted, in their order.
    """
    row = pl.DataFrame({"example": pl.Series(numbers, dtype=pl.UInt32)}).with_row_index("row")
    indexed = frame.join(row, on="example")
    found = {}
    for (site,), part in indexed.partition_by("site", as_dict=True, maintain_order=True).items():
        width = len(part["gradient"][0])
        dense = torch.zeros(len(numbers), n_positions, width)
        rows, pos = (part[c].cast(pl.Int64).to_torch() for c in ("row", "pos"))
        dense[rows, pos] = part["gradient"].list.to_array(width).to_torch()
        found[str(site)] = dense.to(device)
    return found
