-- what: A site's effects against what patching the whole site does, as means over examples.
-- grain: one row per (study, task, method, site)
-- columns:
--   study: Study
--   task: Task
--   method: ig or attrib
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   sum_of_effects: Sum of the effects of the site's nodes [metric]
--   true_change: m(site patched) − m(clean); may be null [metric]
--   residual: sum_of_effects − true_change; may be null [metric]
--   mean_abs_residual: Mean over examples of |residual|; may be null [metric]
--   max_abs_residual: Largest |residual| of an example; may be null [metric]
--   n_examples: Examples; may be null
select
    site_effects.study,
    site_effects.task,
    site_effects.method,
    site_effects.site,
    site_effects.sum_of_effects,
    site_effects.true_change,
    site_effects.residual,
    site_effects.mean_abs_residual,
    site_effects.max_abs_residual,
    site_effects.n_examples
from stored.site_effects
