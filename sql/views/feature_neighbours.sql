-- what: A feature of the same site that is like a feature: it points where it points, or fires
--   when it fires.
-- grain: one row per (study, site, feature, kind, rank)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   kind: cosine: of decoder rows; coactive: Jaccard index of tokens
--   rank: Order by value within its kind; 0: the nearest
--   other: The neighbour
--   value: Cosine, or tokens where both are above 0 / tokens where either is
--   common_tokens: coactive: tokens of a sample where both are above 0; may be null [tokens]
select
    feature_neighbours.study,
    feature_neighbours.site,
    feature_neighbours.feature,
    feature_neighbours.kind,
    feature_neighbours.rank,
    feature_neighbours.other,
    feature_neighbours.value,
    feature_neighbours.common_tokens
from stored.feature_neighbours
