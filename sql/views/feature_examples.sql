-- what: A token on which a feature is active.
-- grain: one row per (study, site, feature, rank)
-- columns:
--   study: Study
--   site: Where in the model: embed, attn_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   rank: Order of the example; 0: the strongest
--   doc_id: Document: shard ordinal × 1,000,000 + row
--   pos: Position in the document [tokens]
--   activation: Activation of the feature there
--   interval: Quantile interval of the activations it is drawn from; 0: the top
select
    study,
    site,
    feature,
    rank,
    doc_id,
    pos,
    activation,
    interval
from stored.feature_examples
