"""Examples from rows of the pairs table."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from dagster_project.interp.examples import examples_from
from tests.interp.spliced import make


def test_examples_are_padded_and_sliced() -> None:
    examples = make([[5, 6], [7, 8, 9]], [[5, 1], [7, 8, 2]])
    assert examples.clean.ids.tolist() == [[5, 6, 0], [7, 8, 9]]
    assert examples.clean.lengths.tolist() == [2, 3]
    assert examples.changed.tolist() == [[False, True, True], [False, False, True]]
    first = examples.rows(0, 1)
    assert first.clean.ids.tolist() == [[5, 6]]
    assert first.patch is not None
    assert first.patch.ids.tolist() == [[5, 1]]
    assert examples.take(torch.tensor([1, 1])).answer.tolist() == [12, 12]
    assert [start for start, _ in examples.portions(3)] == [0, 1]
    assert [len(part) for _, part in examples.portions(6)] == [2]


def test_a_bos_at_the_first_position_does_not_count() -> None:
    examples = make([[1, 6], [7, 1, 9]], None)
    assert examples.counted(1).tolist() == [[False, True, False], [True, True, True]]
    assert examples.counted().tolist() == [[True, True, False], [True, True, True]]
    assert examples.changed.all()


def test_metrics_have_the_signs_of_discovery_and_evaluation() -> None:
    pair = make([[5, 6]], [[5, 1]])
    assert (pair.discovery_metric().kind, pair.discovery_metric().sign) == ("pair", 1)
    assert (pair.evaluation_metric().kind, pair.evaluation_metric().sign) == ("pair", -1)
    alone = make([[5, 6]], None, "logit")
    assert (alone.discovery_metric().kind, alone.discovery_metric().sign) == ("logit", -1)
    assert alone.evaluation_metric().sign == 1


def test_faulty_rows_are_named() -> None:
    frame = pl.DataFrame(
        {
            "clean_ids": [[1, 2], [1, 2]],
            "patch_ids": [[1, 3], [1, 2, 3]],
            "clean_answer_id": [4, 4],
            "patch_answer_id": [5, 5],
        }
    )
    with pytest.raises(ValueError, match=r"row 1: patch_ids must have 2 ids, found 3"):
        examples_from(frame)
    with pytest.raises(ValueError, match="at least one"):
        examples_from(frame.head(0))
    missing = frame.head(1).with_columns(patch_answer_id=pl.lit(None, pl.Int64))
    with pytest.raises(ValueError, match=r"row 0: patch_answer_id must be given"):
        examples_from(missing)
