"""Tables that are no Parquet: views of the append-only logs of labels."""

from __future__ import annotations

from dagster_project.lake.columns import I32, STRING, U32, column, nullable, table

_WHAT = (
    column("site", STRING, "Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i"),
    column("feature", I32, "Feature of the site's dictionary"),
)
_AUTHOR = column("author", STRING, "Who said so")
_TIME = column("time", STRING, "When: UTC, ISO 8601, sorted as text")
_NOTES = nullable("notes", STRING, "What else was remarked")

LABEL_TABLES = (
    table(
        "labels",
        None,
        "site feature",
        "The label of a feature that counts: the latest",
        *_WHAT,
        column("label", STRING, "What it stands for"),
        _AUTHOR,
        _TIME,
        _NOTES,
        column("versions", U32, "Labels that the feature has had, this one included"),
    ),
    table(
        "label_history",
        None,
        "site feature time",
        "A label that was given to a feature, or taken back",
        *_WHAT,
        nullable("label", STRING, "What it stands for; null: what was said before is taken back"),
        _AUTHOR,
        _TIME,
        _NOTES,
    ),
)
