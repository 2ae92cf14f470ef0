"""Tables of edits that take from a model what a probe should not read."""

from __future__ import annotations

from dagster_project.lake.columns import (
    BOOL,
    F32,
    FEATURE,
    SITE,
    STRING,
    U32,
    column,
    nullable,
    table,
)

_PROBE = column("probe", STRING, "Probe of biographies: is the profession one mostly of women?")

SHIFT_TABLES = (
    table(
        "shift",
        None,
        "probe edit seed retrained",
        "A probe of an edited model, measured on biographies in which profession and gender are "
        "independent",
        _PROBE,
        column(
            "edit",
            STRING,
            "What was ablated: none; by_hand: features chosen by a person; by_rule: by gender "
            "labels; random features; neurons; or oracle: nothing, a probe trained on a balanced "
            "set",
        ),
        nullable("seed", U32, "Of random features; null otherwise"),
        column("retrained", BOOL, "Trained again, on the edited model's ambiguous set"),
        column("site", STRING, "Where the probe reads, mean over tokens"),
        column("ablation", STRING, "What ablated nodes hold: mean or zero"),
        column("n_nodes", U32, "Nodes ablated"),
        column("n_train", U32, "Biographies it was trained on"),
        column("n_test", U32, "Biographies it was measured on"),
        column("accuracy", F32, "Share of biographies whose profession's half it tells"),
        column("accuracy_low", F32, "Lower end of the 90 % Wilson interval"),
        column("accuracy_high", F32, "Upper end of the 90 % Wilson interval"),
        column("leakage", F32, "Share in which it says what gender would; 0.5 is chance"),
        column("leakage_low", F32, "Lower end of the 90 % Wilson interval"),
        column("leakage_high", F32, "Upper end of the 90 % Wilson interval"),
        column("worst_group", F32, "The least of the four accuracies that follow"),
        column("women_usual", F32, "Accuracy on women in professions mostly of women"),
        column("women_unusual", F32, "Accuracy on women in the other professions"),
        column("men_usual", F32, "Accuracy on men in professions mostly of men"),
        column("men_unusual", F32, "Accuracy on men in the other professions"),
    ),
    table(
        "shift_features",
        None,
        "probe site feature",
        "A feature with an effect on a probe: those of largest effect, and all that were chosen",
        _PROBE,
        SITE,
        FEATURE,
        column("rank", U32, "Order by abs_effect; 0: the largest"),
        column(
            "effect",
            F32,
            "Mean over biographies of Σ activation × ∂logit/∂activation; positive: towards a "
            "profession mostly of women",
            "logits",
        ),
        column("abs_effect", F32, "The same of absolute values", "logits"),
        column(
            "gender_correlation",
            F32,
            "Correlation of its mean activation with being a woman, among people of one profession",
        ),
        column("by_hand", BOOL, "Chosen by a person"),
        column("by_rule", BOOL, "Chosen by a rule that has gender labels"),
        nullable("why", STRING, "What the person saw it fire on"),
    ),
)
