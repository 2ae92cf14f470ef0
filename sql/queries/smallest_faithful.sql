-- question: How many nodes does it take to recover 80 % of the model's behaviour?
-- grain: one row per (study, task, unit, split, ablation, errors)
-- columns: n_nodes: of the smallest circuit with faithfulness ≥ 0.8 (null: none); faithfulness and
--   completeness there; largest: the highest faithfulness of any size
select
    study,
    task,
    unit,
    split,
    ablation,
    errors,
    min(n_nodes) filter (where faithfulness >= 0.8) as n_nodes,
    arg_min(faithfulness, n_nodes) filter (where faithfulness >= 0.8) as faithfulness,
    arg_min(completeness, n_nodes) filter (where faithfulness >= 0.8) as completeness,
    max(faithfulness) as largest
from faithfulness
group by study, task, unit, split, ablation, errors
order by study, task, unit, split, ablation, errors
