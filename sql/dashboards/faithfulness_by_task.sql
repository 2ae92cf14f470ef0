-- question: How faithful is each task's circuit at its threshold, and its strongest features alone?
-- grain: one row per (task, split, ablation, errors, start_layer, method, aggregation, at_threshold,
--   value), of features
-- columns: at_threshold: value is the node threshold, else nodes asked for; n_nodes kept;
--   faithfulness; completeness; accuracy: share of examples on which the model prefers the clean
--   answer (null without a patch)
select
    task,
    split,
    ablation,
    errors,
    start_layer,
    method,
    aggregation,
    selection = 'threshold' as at_threshold,
    value,
    n_nodes,
    faithfulness,
    completeness,
    accuracy
from faithfulness
where study = $study and unit = 'feature'
order by task, split, ablation, errors, start_layer, method, aggregation, at_threshold, value
