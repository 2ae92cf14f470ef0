-- what: A feature active in a context (at a position, or summed), or a site's error node.
-- grain: one row per (study, site, feature, context_id, pos)
-- columns:
--   study: Study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   context_id: Context
--   pos: Position counted back from the answer (−1); null: the sum over all positions. Where sums
--     are kept, rows of position −1 may stand beside them: read one or the other [tokens]
--   shard: Shard: row range of a source
--   activation: Activation, or its sum; for the error node ‖ε‖
--   gradient: Gradient of the metric; null for sums and for the error node
--   effect: Activation × gradient, summed after the product; where null is stored, their product
select
    context_features.study,
    context_features.site,
    context_features.feature,
    context_features.context_id,
    context_features.pos,
    context_features.shard,
    context_features.activation,
    context_features.gradient,
    coalesce(
        context_features.effect, context_features.activation * context_features.gradient
    ) as effect
from stored.context_features
