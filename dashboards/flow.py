"""The data flow as pages show it: the assets of a study in their lanes, the tables that each
fills, and where to look at them."""

from __future__ import annotations

from typing import NamedTuple

from dagster_project.assets.flow import STAGES  # noqa: TID251  # data alone, without Dagster


class Asset(NamedTuple):
    """A box in the picture of the flow."""

    name: str  # of the asset, below its study
    tables: tuple[str, ...]  # that it fills
    reads: str  # what it is made from
    page: str = ""  # where its rows are shown
    asked: bool = False  # made only where a study asks for it

    @property
    def checks(self) -> list[str]:
        """What its rows were checked for before they came into the lake."""
        return [what.rstrip(".") for what in STAGES[self.name].checks.values()]


LANES: dict[str, tuple[Asset, ...]] = {
    "Corpus": (
        Asset("corpus", ("shards",), "the study's sources"),
        Asset("documents", ("documents",), "corpus"),
        Asset("tokens", ("tokens",), "documents"),
        Asset("losses", ("losses",), "tokens and the model", "losses"),
    ),
    "Dictionaries": (
        Asset("dictionary_quality", ("dictionaries",), "tokens and the model", "dictionaries"),
        Asset(
            "features",
            ("features", "feature_examples", "feature_neighbours"),
            "dictionaries, tokens and the model",
            "features",
        ),
        Asset("feature_logits", ("feature_logits",), "dictionaries and the model", "features"),
        Asset(
            "dictionary_sweep",
            ("dictionary_sweep",),
            "tokens and the model",
            "dictionaries",
            asked=True,
        ),
    ),
    "Contexts": (
        Asset("contexts", ("contexts",), "losses and documents", "clusters"),
        Asset("context_features", ("context_features",), "contexts, dictionaries and the model"),
        Asset("context_gradients", ("context_gradients",), "contexts and the model", asked=True),
        Asset(
            "clusterings",
            ("clusterings", "clusters", "cluster_members", "distinct_features"),
            "context_features or context_gradients",
            "clusterings",
        ),
    ),
    "Circuits": (
        Asset("pairs", ("pairs",), "the study's tasks, and clusters", "task"),
        Asset(
            "node_effects",
            ("node_effects", "site_effects", "mean_gradients"),
            "pairs, dictionaries and the model",
        ),
        Asset(
            "circuits",
            ("circuits", "circuit_nodes", "circuit_edges"),
            "node_effects",
            "circuits",
        ),
        Asset("faithfulness", ("faithfulness",), "node_effects and pairs", "faithfulness"),
    ),
    "Edits": (
        Asset(
            "shift",
            ("shift", "shift_features"),
            "generated biographies, dictionaries and the model",
            "shift",
            asked=True,
        ),
    ),
}
FILLED_BY = {
    table: asset.name for lane in LANES.values() for asset in lane for table in asset.tables
}
