-- what: A node that the patch changes, with its effect on the metric; means over the train split.
-- grain: one row per (study, task, method, aggregation, pos, site, feature)
-- columns:
--   study: Study
--   task: Task
--   method: ig or attrib
--   aggregation: sum: over positions; none: per position
--   pos: Position of the node; null when summed [tokens]
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   effect: Signed effect; positive supports the clean answer [metric]
--   abs_effect: Mean over examples of Σ|effect| [metric]
--   share_above: Share of bootstrap resamples with |value| above the threshold; may be null
--   low: 5 % of the bootstrap resamples; may be null
--   high: 95 % of the bootstrap resamples; may be null
--   patch_only: Share of examples in which it is active in the patch alone; may be null
select
    node_effects.study,
    node_effects.task,
    node_effects.method,
    node_effects.aggregation,
    node_effects.pos,
    node_effects.site,
    node_effects.feature,
    node_effects.effect,
    node_effects.abs_effect,
    node_effects.share_above,
    node_effects.low,
    node_effects.high,
    node_effects.patch_only
from stored.node_effects
