-- question: How faithful are circuits of features, of neurons and random ones, by size?
-- grain: one row per (study, task, method, aggregation, split, ablation, errors, start_layer,
--   value)
-- columns: value: nodes asked for; features, neurons, random: faithfulness (random: mean over
--   seeds); random_high: the best seed; error_nodes kept in the feature circuit; accuracy: share of
--   examples on which the model prefers the clean answer (null without a patch)
select
    study,
    task,
    method,
    aggregation,
    split,
    ablation,
    errors,
    start_layer,
    value::bigint as value,
    max(faithfulness) filter (where unit = 'feature') as features,
    max(faithfulness) filter (where unit = 'neuron') as neurons,
    avg(faithfulness) filter (where unit = 'random') as random,
    max(faithfulness) filter (where unit = 'random') as random_high,
    max(n_error_nodes) filter (where unit = 'feature') as error_nodes,
    any_value(accuracy) as accuracy
from faithfulness
where selection = 'top_n'
group by study, task, method, aggregation, split, ablation, errors, start_layer, value
order by study, task, method, aggregation, split, ablation, errors, start_layer, value
