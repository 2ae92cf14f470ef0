-- question: How many nodes does it take to recover most of the model's behaviour?
-- parameters:
--   at_least double = 0.8: the faithfulness that counts as most
-- grain: one row per (study, task, method, aggregation, unit, split, ablation, errors, start_layer)
-- columns: n_nodes: of the smallest circuit that faithful (null: none; random: of any seed);
--   faithfulness and completeness there; closest: of the faithfulness of all sizes the one
--   nearest to 1, be it below or above
select
    study,
    task,
    method,
    aggregation,
    unit,
    split,
    ablation,
    errors,
    start_layer,
    min(n_nodes) filter (where faithfulness >= $at_least) as n_nodes,
    arg_min(faithfulness, n_nodes) filter (where faithfulness >= $at_least) as faithfulness,
    arg_min(completeness, n_nodes) filter (where faithfulness >= $at_least) as completeness,
    arg_min(faithfulness, abs(1 - faithfulness)) as closest
from faithfulness
group by study, task, method, aggregation, unit, split, ablation, errors, start_layer
order by study, task, method, aggregation, unit, split, ablation, errors, start_layer
