"""SHIFT: take from a model the features by which a probe reads what it should not (Marks et al.
2024, section 4, "sparse human-interpretable feature trimming").

A probe of biographies is trained where profession and gender come together (`ambiguous`), so that
it may read either. It is measured where they do not: accuracy is the share of a balanced test set
whose profession's half it tells, leakage the share where it says what gender would (0.5 is chance).
Then features up to the probe's site are ablated and the probe is measured on the edited model: as
it is, and trained again on the edited model's ambiguous set. Compared are features that a person
chose by what they fire on, features that a rule chose with gender labels, random features, neurons
chosen by the rule, and a probe trained on a balanced set.

The rule: of the `candidates` features of largest effect on the probe, those whose mean activation
over a text goes best with gender among people of one profession (|partial correlation|).

Cost: for each edit a forward of test and ambiguous texts as far as the site; once, the effects.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import sqrt
from typing import Literal, NamedTuple, TypeAlias

import polars as pl
import torch
from torch import Tensor

from dagster_project.interp.ablation import Dictionaries, Values, ZeroValues
from dagster_project.interp.edit import Edit, token_means
from dagster_project.interp.neurons import neurons
from dagster_project.interp.node_selection import Circuit, random_circuits
from dagster_project.interp.probe import Probe, Reader, fit
from dagster_project.interp.sequences import Ids
from dagster_project.interp.site_names import parse_site

Row: TypeAlias = dict[str, str | int | float | bool | None]

Z = 1.6448536
"""Standard deviations of a two-sided interval of 90 %."""


class Texts(NamedTuple):
    """Labelled biographies."""

    ids: Sequence[Ids]
    label: Tensor  # [text] bool: the profession is one mostly of women
    woman: Tensor  # [text] bool
    profession: Tensor  # [text] its number


class Sets(NamedTuple):
    """What probes are trained and measured on."""

    ambiguous: Texts  # label and woman are the same
    balanced: Texts  # for the oracle probe and the rule
    test: Texts  # balanced


class Plan(NamedTuple):
    """What is ablated, and how."""

    by_hand: pl.DataFrame  # site, pos, feature: chosen by a person; may be empty
    ablation: Literal["mean", "zero"]
    candidates: int  # nodes of largest effect that the rule looks at
    by_rule: int  # nodes that it takes of them
    random_seeds: int


class Found(NamedTuple):
    """The outcome for one probe."""

    edits: pl.DataFrame  # EDITS
    features: pl.DataFrame  # site, feature, effect, abs_effect, gender_correlation, by_…


EDITS = pl.Schema(
    {
        "edit": pl.String(),
        "seed": pl.UInt32(),
        "retrained": pl.Boolean(),
        "n_nodes": pl.UInt32(),
        "n_test": pl.UInt32(),
        "accuracy": pl.Float32(),
        "accuracy_low": pl.Float32(),
        "accuracy_high": pl.Float32(),
        "leakage": pl.Float32(),
        "leakage_low": pl.Float32(),
        "leakage_high": pl.Float32(),
        "worst_group": pl.Float32(),
        "women_usual": pl.Float32(),
        "women_unusual": pl.Float32(),
        "men_usual": pl.Float32(),
        "men_unusual": pl.Float32(),
    }
)


def shift(reader: Reader, dictionaries: Dictionaries, sets: Sets, plan: Plan) -> Found:
    """The experiment with one probe. dictionaries: of all sites, in forward order."""
    here = up_to(reader.site, dictionaries, parallel=reader.model.parallel)
    single = neurons(here)
    probe = fit(reader.pooled(sets.ambiguous.ids), sets.ambiguous.label)
    oracle = fit(reader.pooled(sets.balanced.ids), sets.balanced.label)
    features = rated(reader, here, sets, probe, plan.by_hand)
    units = rated(reader, single, sets, probe)
    by_rule, by_neuron = (chosen_by_rule(nodes, plan) for nodes in (features, units))
    shape = by_rule if plan.by_hand.is_empty() else plan.by_hand
    of_features, of_neurons = (
        Ablation(reader, sets, probe, d, _values(plan, reader, d, sets)) for d in (here, single)
    )
    plain = reader.pooled(sets.test.ids)
    rows = [
        _row("none", probe.predict(plain), sets.test),
        *of_features.rows("by_hand", plan.by_hand),
        *of_features.rows("by_rule", by_rule),
        *(
            row
            for seed in range(plan.random_seeds)
            for row in of_features.rows("random", like(shape, features, seed), seed)
        ),
        *of_neurons.rows("neurons", by_neuron),
        _row("oracle", oracle.predict(plain), sets.test),
    ]
    marked = features.with_columns(
        by_hand=_among(plan.by_hand, features), by_rule=_among(by_rule, features)
    )
    return Found(pl.DataFrame(rows, schema=EDITS), marked)


def up_to(site: str, dictionaries: Dictionaries, *, parallel: bool = False) -> Dictionaries:
    """Those of the sites that reach a site, itself included: of a parallel layer's MLP, not its
    attention. Raises ValueError."""
    names = list(dictionaries)
    if site not in names:
        raise ValueError(f'probe site "{site}": expected one with a dictionary, of {names}')
    kind, layer = parse_site(site)
    beside = (f"z_{layer}", f"attn_{layer}") if parallel and kind == "mlp" else ()
    return {s: dictionaries[s] for s in names[: names.index(site) + 1] if s not in beside}


def rated(
    reader: Reader,
    dictionaries: Dictionaries,
    sets: Sets,
    probe: Probe,
    wanted: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Nodes with an effect on the probe in the ambiguous set, the largest first, and then those
    wanted (site, feature) that have none: site, pos (null), feature, effect, abs_effect, and
    gender_correlation in the balanced set; no error nodes."""
    effects = reader.effects(sets.ambiguous.ids, dictionaries, probe)
    means = reader.features(sets.balanced.ids, dictionaries)
    scores = pl.concat(
        pl.DataFrame(
            {
                "site": site,
                "feature": pl.Series(range(f.shape[1]), dtype=pl.Int32),
                "gender_correlation": partial_correlation(
                    f, sets.balanced.woman, sets.balanced.profession
                ).numpy(),
            }
        )
        for site, f in means.items()
    )
    is_wanted = pl.lit(False) if wanted is None else _among(wanted, effects)
    return (
        effects.filter(pl.col("feature") >= 0, (pl.col("abs_effect") > 0) | is_wanted)
        .join(scores, on=["site", "feature"], how="left", maintain_order="left")
        .sort("abs_effect", descending=True, maintain_order=True)
    )


def partial_correlation(values: Tensor, flag: Tensor, group: Tensor) -> Tensor:
    """[column] correlation of values [row, column] with flag [row] bool within groups [row].

    Both less their groups' means; 0 where values do not vary.
    """
    x, y = (_centred(v.double(), group) for v in (values, flag[:, None]))
    scale = (x.square().sum(0) * y.square().sum(0)).sqrt()
    product = (x * y).sum(0)
    return torch.where(scale > 1e-12, product / scale.clamp(min=1e-12), 0.0).float()


def _centred(x: Tensor, group: Tensor) -> Tensor:
    """x [row, column] less the mean of its group's rows."""
    _, row, n = group.unique(return_inverse=True, return_counts=True)
    sums = x.new_zeros(len(n), x.shape[1]).index_add_(0, row, x)
    return x - (sums / n[:, None])[row]


def chosen_by_rule(rated_nodes: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """The rule's nodes: site, pos, feature."""
    candidates = rated_nodes.head(plan.candidates)
    size = pl.col("gender_correlation").abs()
    best = candidates.sort(size, descending=True, maintain_order=True).head(plan.by_rule)
    return best.select("site", "pos", "feature")


def like(nodes: pl.DataFrame, rated_nodes: pl.DataFrame, seed: int) -> pl.DataFrame:
    """As many nodes of each site as in `nodes`, drawn from those with an effect."""
    candidates = rated_nodes.filter(pl.col("abs_effect") > 0).select("site", "pos", "feature")
    shape = Circuit("feature", "top_n", len(nodes), nodes)
    (drawn,) = random_circuits((shape,), candidates, seed)
    assert drawn.nodes is not None
    return drawn.nodes


def _among(nodes: pl.DataFrame, of: pl.DataFrame) -> pl.Series:
    """Whether rows of a frame are among the nodes."""
    chosen = set(nodes.select("site", "feature").iter_rows())
    return pl.Series([row in chosen for row in of.select("site", "feature").iter_rows()])


def _values(plan: Plan, reader: Reader, dictionaries: Dictionaries, sets: Sets) -> Values:
    """What ablated nodes hold."""
    if plan.ablation == "zero":
        return ZeroValues(dictionaries)
    texts = (batch for _, batch in reader.batches(sets.ambiguous.ids))
    return token_means(reader.model, dictionaries, texts, reader.bos_id)


class Ablation(NamedTuple):
    """What there is to ablate, and how the outcome is measured."""

    reader: Reader
    sets: Sets
    probe: Probe  # of the model as it is
    dictionaries: Dictionaries
    values: Values  # that ablated nodes hold

    def rows(self, name: str, nodes: pl.DataFrame, seed: int | None = None) -> Iterator[Row]:
        """The probe as it is and, unless nodes are drawn by chance, trained again."""
        if nodes.is_empty():
            return
        reader, (ambiguous, _, texts) = self.reader, self.sets
        edit = Edit.ablating(self.dictionaries, nodes, self.values, reader.bos_id)
        test = reader.pooled(texts.ids, edit)
        yield _row(name, self.probe.predict(test), texts, len(nodes), seed)
        if seed is None:
            again = fit(reader.pooled(ambiguous.ids, edit), ambiguous.label)
            yield _row(name, again.predict(test), texts, len(nodes)) | {"retrained": True}


def _row(
    edit: str, predicted: Tensor, texts: Texts, n_nodes: int = 0, seed: int | None = None
) -> Row:
    about = {"edit": edit, "seed": seed, "retrained": False, "n_nodes": n_nodes}
    return {**about, **measured(predicted, texts)}


def measured(predicted: Tensor, texts: Texts) -> Row:
    """Accuracy, leakage and accuracy by subgroup of predictions [text] bool."""
    right, label, woman = predicted == texts.label, texts.label, texts.woman
    leaked = predicted == woman
    groups = {
        "women_usual": woman & label,
        "women_unusual": woman & ~label,
        "men_usual": ~woman & ~label,
        "men_unusual": ~woman & label,
    }
    accuracies = {name: float(right[rows].double().mean()) for name, rows in groups.items()}
    n, low, high = len(label), "accuracy_low", "accuracy_high"
    return {
        "n_test": n,
        "accuracy": float(right.double().mean()),
        **dict(zip((low, high), wilson(int(right.sum()), n), strict=True)),
        "leakage": float(leaked.double().mean()),
        **dict(zip(("leakage_low", "leakage_high"), wilson(int(leaked.sum()), n), strict=True)),
        "worst_group": min(accuracies.values()),
        **accuracies,
    }


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 90 % score interval of a share (Wilson 1927)."""
    p, z = successes / n, Z
    centre, scale = p + z * z / (2 * n), 1 + z * z / n
    half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - half) / scale, (centre + half) / scale
