-- what: A token that a feature promotes or not.
-- grain: one row per (study, site, feature, sign, rank)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   sign: 1: promoted; −1: suppressed
--   rank: Order by |logit|; 0: the strongest
--   token_id: Token in the tokenizer's vocabulary
--   token: Text of the token
--   logit: Direct effect of a unit activation on the token's logit, times the scale σ of the
--     final norm, which is left out: order and sign do not depend on it [logits × σ]
select
    feature_logits.study,
    feature_logits.site,
    feature_logits.feature,
    feature_logits.sign,
    feature_logits.rank,
    feature_logits.token_id,
    feature_logits.token,
    feature_logits.logit
from stored.feature_logits
