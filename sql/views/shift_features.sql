-- what: A feature with an effect on a probe: those of largest effect, and all that were chosen.
-- grain: one row per (study, probe, site, feature)
-- columns:
--   study: Study
--   probe: Probe of biographies: is the profession one mostly of women?
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   rank: Order by abs_effect; 0: the largest
--   effect: Mean over biographies of Σ activation × ∂logit/∂activation; positive: towards a
--     profession mostly of women [logits]
--   abs_effect: The same of absolute values [logits]
--   gender_correlation: Correlation of its mean activation with being a woman, among people of one
--     profession
--   by_hand: Chosen by a person
--   by_rule: Chosen by a rule that has gender labels
--   why: What the person saw it fire on; may be null
select
    shift_features.study,
    shift_features.probe,
    shift_features.site,
    shift_features.feature,
    shift_features.rank,
    shift_features.effect,
    shift_features.abs_effect,
    shift_features.gender_correlation,
    shift_features.by_hand,
    shift_features.by_rule,
    shift_features.why
from stored.shift_features
