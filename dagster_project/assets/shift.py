"""The stage `shift`: probes of biographies, and edits that take gender from what they read."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import polars as pl

from dagster_project.assets import dictionaries as dictionaries_stage
from dagster_project.assets.plot import png
from dagster_project.assets.stage import Check, Scalar, Stage, StageResult, StageRun
from dagster_project.lake.store import Lake
from dagster_project.studies.feature_list import Chosen, read_feature_list
from dagster_project.studies.rules import EMBEDDED
from dagster_project.studies.study import ShiftSpec, Study

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from dagster_project.interp.model import LanguageModel
    from dagster_project.interp.shift import Found, Sets, Texts

DOC = """SHIFT (Marks et al. 2024, section 4) on generated biographies: a probe of a site's mean
activation, trained where every woman has a profession mostly of women and no man has, is asked
which half the profession is of where that tells nothing of gender. Accuracy is how often it is
right, leakage how often it says what gender would (0.5 is chance).

Features that stand for gender are ablated: those that a person chose by what they fire on, those
that a rule chose by gender labels, random ones, and neurons that the rule chose; each time with the
probe as it is and trained again. Beside them a probe that was trained where gender tells nothing.

Cost, for each probe: a forward of the biographies as far as the site for each edit, and once the
effects of features and neurons on the probe, a backward and an encode at each site."""

ROUNDING = 1e-5


def compute(run: StageRun) -> StageResult:
    from dagster_project import resources
    from dagster_project.interp.edit import listed
    from dagster_project.interp.probe import Reader
    from dagster_project.interp.shift import Plan, shift

    spec = _spec(run.study)
    model = resources.model(run.study)
    dictionaries = resources.dictionaries(run.study, run.lake)
    chosen = _chosen(run.study)
    by_hand = listed((one.site, one.feature) for one in chosen)
    plan = Plan(by_hand, spec.ablation, spec.candidates, spec.by_rule, spec.random_seeds)
    bos_id = model.tokenizer.bos_token_id if run.study.node_effects.skip_bos else None
    batch = resources.batch(run.study, len(dictionaries))
    reader = Reader(model, spec.site, batch.tokens, bos_id)
    found = {
        name: shift(reader, dictionaries, _sets(run.study, model, professions), plan)
        for name, professions in spec.probes.items()
    }
    edits = pl.concat(_edits(name, one, spec) for name, one in found.items())
    features = pl.concat(_features(name, one, spec, chosen) for name, one in found.items())
    for table, frame in (("shift", edits), ("shift_features", features)):
        with run.writer(table, kind="study") as writer:
            writer.append(frame)
    return StageResult(_figures(edits), checks(edits, features), _plot(edits))


def _spec(study: Study) -> ShiftSpec:
    assert study.shift is not None, "a stage of studies that have probes"
    return study.shift


def _sets(study: Study, model: LanguageModel, professions: tuple[str, ...]) -> Sets:
    """Biographies of people with these professions."""
    from dagster_project.interp.shift import Sets

    spec = _spec(study)
    ambiguous = _texts(study, model, professions, "ambiguous", "train", spec.train)
    balanced = _texts(study, model, professions, "balanced", "train", spec.train)
    return Sets(
        ambiguous, balanced, _texts(study, model, professions, "balanced", "test", spec.test)
    )


def _texts(
    study: Study,
    model: LanguageModel,
    professions: tuple[str, ...],
    kind: Literal["ambiguous", "balanced"],
    split: Literal["train", "test"],
    n: int,
) -> Texts:
    import torch

    from dagster_project.embedded.labelled import PROFESSIONS, biographies
    from dagster_project.interp.shift import Texts

    made = biographies(kind, split, n, _spec(study).seed, professions)
    most, order = study.tokens.max_tokens, list(PROFESSIONS)
    return Texts(
        [model.tokenizer(one.text).input_ids[:most] for one in made],
        torch.tensor([one.label for one in made]),
        torch.tensor([one.woman for one in made]),
        torch.tensor([order.index(one.profession) for one in made]),
    )


def _edits(probe: str, found: Found, spec: ShiftSpec) -> pl.DataFrame:
    return found.edits.with_columns(
        probe=pl.lit(probe),
        site=pl.lit(spec.site),
        ablation=pl.lit(spec.ablation),
        n_train=pl.lit(spec.train // 4 * 4, pl.UInt32),
    )


def _features(
    probe: str, found: Found, spec: ShiftSpec, chosen: tuple[Chosen, ...]
) -> pl.DataFrame:
    """The candidates, and what was chosen."""
    rows = {"site": [c.site for c in chosen], "feature": [c.feature for c in chosen]}
    reasons = pl.DataFrame(
        {**rows, "why": [c.why for c in chosen]},
        schema={"site": pl.String(), "feature": pl.Int32(), "why": pl.String()},
    )
    ranked = found.features.drop("pos").with_row_index("rank")
    shown = (pl.col("rank") < spec.candidates) | pl.col("by_hand") | pl.col("by_rule")
    return (
        ranked.filter(shown)
        .join(reasons, on=["site", "feature"], how="left", maintain_order="left")
        .with_columns(probe=pl.lit(probe))
    )


def _figures(edits: pl.DataFrame) -> dict[str, Scalar]:
    rows = edits.filter(~pl.col("retrained"), pl.col("seed").is_null())
    return {
        f"{row['probe']}, {row['edit']}: {name}": row[name]
        for row in rows.iter_rows(named=True)
        for name in ("accuracy", "leakage")
    }


def checks(edits: pl.DataFrame, features: pl.DataFrame) -> list[Check]:
    """The outcome of the stage's checks on its rows."""
    shares = edits.select(pl.selectors.float())
    unfit = sum(shares.select((~pl.all().is_between(0, 1)).sum()).row(0))
    numbers = features.select("effect", "abs_effect", "gender_correlation")
    nan = sum(numbers.select((~pl.all().is_finite()).sum()).row(0))
    groups = pl.concat_list("women_usual", "women_unusual", "men_usual", "men_unusual")
    worst = edits.select((pl.col("accuracy") - groups.list.mean()).abs().max()).item()
    return [
        Check("shares", unfit == 0, {"outside 0 … 1": unfit}),
        Check("finite", nan == 0, {"not finite": nan}),
        Check("balanced", worst <= ROUNDING, {"largest difference": worst}),
    ]


def _plot(edits: pl.DataFrame) -> bytes:
    """Accuracy against leakage, an arrow from the model as it is to it without what was chosen."""
    marks = {"none": "o", "by_hand": "*", "by_rule": "P", "random": ".", "neurons": "x"}

    def draw(axes: Axes) -> None:
        for edit, mark in {**marks, "oracle": "D"}.items():
            rows = edits.filter(~pl.col("retrained"), edit=edit)
            axes.plot(rows["leakage"], rows["accuracy"], mark, label=edit.replace("_", " "))
        axes.axvline(0.5, color="grey", linewidth=0.5)
        axes.set(xlabel="leakage (0.5 is chance)", ylabel="accuracy")
        axes.legend(fontsize=8)

    return png(draw)


def _list_of(study: Study) -> Path | None:
    """The file of the features that a person chose."""
    from dagster_project import resources

    name = _spec(study).features
    if not name:
        return None
    shipped = resources.WEIGHTS.with_name("shift_features.toml")
    return shipped if name == EMBEDDED else study.path(name)


def _chosen(study: Study) -> tuple[Chosen, ...]:
    """What a person chose. Raises StudyError where it is of other dictionaries."""
    file = _list_of(study)
    return (
        () if file is None else read_feature_list(file, dictionaries_stage.hash_of(study)).features
    )


def _content(study: Study, _lake: Lake, _partition: str) -> str:
    from dagster_project.embedded.corpus import VERSION
    from dagster_project.provenance import content_hash

    file, texts = _list_of(study), f"texts {VERSION}"
    if file is None:
        return texts
    return f"{texts}, list {content_hash(file) if file.is_file() else f'missing, {file.name}'}"


def _reads(study: Study, _partition: str) -> object:
    spec = {k: v for k, v in asdict(_spec(study)).items() if k != "features"}  # its content counts
    return [spec, study.tokens.max_tokens, study.node_effects.skip_bos]


STAGE = Stage(
    name="shift",
    doc=DOC,
    partition="study",
    tables=("shift", "shift_features"),
    inputs=("dictionaries", "model"),
    reads=_reads,
    content=_content,
    compute=compute,
    checks={
        "shares": "Accuracy, leakage and their intervals lie in 0 … 1.",
        "finite": "No effect or correlation is NaN or infinite.",
        "balanced": "Accuracy is the mean of the four subgroups', which are equally large.",
    },
    pool="gpu",
    kinds=("parquet", "pytorch"),
)
