-- what: A site's effects against what patching the whole site does, as means over examples.
-- grain: one row per (study, task, method, site)
-- columns:
--   study: Study
--   task: Task
--   method: ig or attrib
--   site: Where in the model: embed, attn_i, mlp_i, resid_i
--   sum_of_effects: Sum of the effects of the site's nodes [metric]
--   true_change: m(site patched) − m(clean) [metric]
--   residual: sum_of_effects − true_change [metric]
--   mean_abs_residual: Mean over examples of |residual| [metric]
--   max_abs_residual: Largest |residual| of an example [metric]
--   n_examples: Examples
select
    study,
    task,
    method,
    site,
    sum_of_effects,
    true_change,
    residual,
    mean_abs_residual,
    max_abs_residual,
    n_examples
from stored.site_effects
