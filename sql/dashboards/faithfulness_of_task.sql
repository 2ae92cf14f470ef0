-- question: How faithful and complete is what is left of one task's nodes, by how many and which?
-- grain: one row per (split, ablation, errors, start_layer, method, aggregation, unit, selection,
--   value) of the task; seeds of random circuits together
-- columns: n_nodes and n_error_nodes kept; seeds; faithfulness and completeness, random: mean;
--   faithfulness_low, faithfulness_high, completeness_low, completeness_high: random: of the seeds,
--   else bootstrap 5 to 95 %; f_model, f_circuit, f_empty
select
    split,
    ablation,
    errors,
    start_layer,
    method,
    aggregation,
    unit,
    selection,
    value,
    round(avg(n_nodes))::bigint as n_nodes,
    round(avg(n_error_nodes))::bigint as n_error_nodes,
    count(seed) as seeds,
    avg(faithfulness) as faithfulness,
    if(unit = 'random', min(faithfulness), min(low)) as faithfulness_low,
    if(unit = 'random', max(faithfulness), max(high)) as faithfulness_high,
    avg(completeness) as completeness,
    if(unit = 'random', min(completeness), min(faithfulness.completeness_low)) as completeness_low,
    if(unit = 'random', max(completeness), max(faithfulness.completeness_high))
        as completeness_high,
    avg(f_model) as f_model,
    avg(f_circuit) as f_circuit,
    avg(f_empty) as f_empty
from faithfulness
where study = $study and task = $task
group by split, ablation, errors, start_layer, method, aggregation, unit, selection, value
order by split, ablation, errors, start_layer, method, aggregation, unit, selection, value
