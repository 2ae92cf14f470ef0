"""The table contract: complete, narrow, and the same in polars, Arrow and SQL."""

from __future__ import annotations

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from dagster_project.lake.schemas import TABLES, Table, arrow_type, sql_type

DESIGN = {
    "documents": "study doc_id shard pile_set_name text n_chars content_hash duplicate_of",
    "tokens": "study doc_id pos shard token_id token",
    "losses": "study doc_id pos shard token_id loss rank entropy trigram_seen bigram_seen "
    "surprisal skill slot",
    "contexts": "study context_id doc_id pos answer_id answer loss context_loss skill slot",
    "context_features": "study context_id pos site feature activation gradient effect",
    "context_gradients": "study context_id vector norm",
    "dictionaries": "study site kind d_model n_features l0 fve loss_increase loss_recovered "
    "dead_fraction source",
    "dictionary_sweep": "study point form expansion k site kind d_model n_features l0 fve "
    "loss_increase loss_recovered dead_fraction n_tokens training_tokens seconds version",
    "features": "study site feature density mean_activation max_activation label",
    "feature_neighbours": "study site feature kind rank other value",
    "feature_examples": "study site feature rank doc_id pos activation interval",
    "feature_logits": "study site feature sign rank token_id token logit",
    "clusterings": "study clustering representation metric aggregation similarity n_clusters "
    "clusters_asked min_cluster_size n_contexts sample ari nmi purity silhouette ari_seeds "
    "ari_halves residual seconds",
    "cluster_members": "study clustering context_id cluster x y",
    "clusters": "study clustering cluster size mean_loss top_answers answer_entropy top_skill "
    "purity leaf",
    "distinct_features": "study clustering cluster place site feature share share_else mean_effect "
    "mean_effect_else difference",
    "pairs": "study task split example clean_prefix patch_prefix clean_answer patch_answer case "
    "clean_ids patch_ids clean_answer_id patch_answer_id",
    "site_effects": "study task method site sum_of_effects true_change residual",
    "node_effects": "study task method aggregation pos site feature effect abs_effect share_above "
    "low high",
    "circuits": "study circuit task method aggregation node_threshold edge_threshold edge_kind "
    "n_examples n_nodes n_error_nodes n_edges total_effect",
    "circuit_nodes": "study circuit site pos feature effect patch_only",
    "circuit_edges": "study circuit up_site up_pos up_feature down_site down_pos down_feature "
    "weight share_above low high",
    "faithfulness": "study task method aggregation split unit seed selection value ablation "
    "errors start_layer n_nodes n_error_nodes f_model f_circuit f_empty f_complement "
    "faithfulness completeness low high",
    "shift": "study probe edit seed retrained site ablation n_nodes n_train n_test accuracy "
    "accuracy_low accuracy_high leakage leakage_low leakage_high worst_group women_usual "
    "women_unusual men_usual men_unusual",
    "shift_features": "study probe site feature rank effect abs_effect gender_correlation by_hand "
    "by_rule why",
    "shards": "study shard ordinal path first_row rows size modified_ns content_hash",
    "mean_gradients": "study task method example site pos gradient",
}
"""Columns that others rely on: none may go."""


def test_every_column_of_the_contract_is_there() -> None:
    assert set(TABLES) == set(DESIGN)
    for name, columns in DESIGN.items():
        assert set(columns.split()) <= set(TABLES[name].schema), name


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_columns_are_documented_and_unique(table: Table) -> None:
    names = [*table.path_keys, *(c.name for c in table.columns)]
    assert len(names) == len(set(names))
    assert all(c.doc for c in table.columns)
    assert set(table.key) <= set(table.file_schema)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda t: t.name)
def test_arrow_and_sql_types_read_back_as_the_polars_dtypes(table: Table) -> None:
    arrow = table.arrow_schema
    assert [f.nullable for f in arrow] == [c.nullable for c in table.columns]
    assert pl.from_arrow(arrow.empty_table()).schema == table.file_schema  # type: ignore[union-attr]
    columns = ", ".join(f'null::{kind} as "{name}"' for name, kind in table.sql_types.items())
    relation = duckdb.sql(f"select {columns} where false")
    assert relation is not None
    assert relation.pl().schema == table.schema


def test_units_are_part_of_the_documentation_in_the_file() -> None:
    field = TABLES["losses"].arrow_schema.field("loss")
    assert field.metadata == {b"doc": "−log p of the token given those before it [nats]".encode()}


def test_nested_types_by_hand() -> None:
    pieces = pl.List(pl.Struct({"start": pl.UInt32(), "skill": pl.String()}))
    assert sql_type(pieces) == 'STRUCT("start" UINTEGER, "skill" VARCHAR)[]'
    inner = pa.struct([("start", pa.uint32()), ("skill", pa.large_string())])
    assert arrow_type(pieces) == pa.list_(inner)


def test_a_dtype_out_of_use_is_refused() -> None:
    with pytest.raises(KeyError):
        sql_type(pl.Date())
