-- what: A node that the patch changes, with its effect on the metric; means over the train split.
-- grain: one row per (study, task, method, aggregation, pos, site, feature)
-- columns:
--   study: Study
--   task: Task
--   method: ig or attrib
--   aggregation: sum: over positions; none: per position
--   pos: Position of the node; null when summed [tokens]
--   site: Where in the model: embed, attn_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary; −1: the error node
--   effect: Signed effect; positive supports the clean answer [metric]
--   abs_effect: Mean over examples of Σ|effect| [metric]
--   share_above: Share of bootstrap resamples with |value| above the threshold
--   low: 5 % of the bootstrap resamples
--   high: 95 % of the bootstrap resamples
--   patch_only: Share of examples in which it is active in the patch alone
select
    study,
    task,
    method,
    aggregation,
    pos,
    site,
    feature,
    effect,
    abs_effect,
    share_above,
    low,
    high,
    patch_only
from stored.node_effects
