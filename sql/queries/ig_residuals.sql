-- question: Do the effects of a site add up to what patching the site does?
-- grain: one row per (study, task, method, site), worst first
-- columns: sum_of_effects, true_change and residual in the metric's unit; relative: |residual| as a
--   share of the task's largest |true_change|; mean_abs_residual over examples
select
    study,
    task,
    method,
    site,
    sum_of_effects,
    true_change,
    residual,
    abs(residual) / nullif(
        max(abs(true_change)) over (partition by study, task, method), 0
    ) as relative,
    mean_abs_residual
from site_effects
order by study, task, method, relative desc nulls last, site
