-- what: Gradient of the metric at a site, mean over the steps of the method; train split.
-- grain: one row per (study, task, method, example, site, pos)
-- columns:
--   study: Study
--   task: Task
--   method: ig or attrib
--   example: Example of the train split
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   pos: Position in the example [tokens]
--   gradient: ∂m/∂x, one number a dimension of the site
select
    mean_gradients.study,
    mean_gradients.task,
    mean_gradients.method,
    mean_gradients.example,
    mean_gradients.site,
    mean_gradients.pos,
    mean_gradients.gradient
from stored.mean_gradients
