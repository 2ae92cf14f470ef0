-- question: Where do circuits of features beat circuits of neurons in faithfulness?
-- grain: one row per (study, task, method, aggregation, split, ablation, errors, start_layer,
--   value), greatest advantage first
-- columns: value: nodes asked for; features and neurons: faithfulness of as many; advantage: how
--   much nearer to 1 the features are, |1 − neurons| − |1 − features| (a circuit that overshoots is
--   as wrong as one that falls short); clear: the bootstrap intervals (5 to 95 %) of these distances
--   do not overlap; null where one is inert; inert: features, neurons or both, where a circuit
--   changes nothing at all, its output being that of no nodes (it has none on the way to the
--   answer): its faithfulness is then 0 without any spread; neurons_needed: nodes of the smallest
--   neuron circuit at least as near to 1 as that of features (null: none measured)
with measured as (
    select study, task, method, aggregation, split, ablation, errors, start_layer,
        value::bigint as value, unit, n_nodes, faithfulness,
        abs(1 - faithfulness) as distance,
        if(1 between low and high, 0, least(abs(1 - low), abs(1 - high))) as nearest,
        greatest(abs(1 - low), abs(1 - high)) as farthest,
        f_circuit = f_empty as inert
    from faithfulness
    where selection = 'top_n' and value > 0 and faithfulness is not null
),
of_features as (select * from measured where unit = 'feature'),
of_neurons as (select * from measured where unit = 'neuron'),
needed as (
    select features.study, features.task, features.method, features.aggregation, features.split,
        features.ablation, features.errors, features.start_layer, features.value,
        min(neurons.n_nodes) as neurons_needed
    from of_features as features
    join of_neurons as neurons
        using (study, task, method, aggregation, split, ablation, errors, start_layer)
    where neurons.distance <= features.distance
    group by all
)
select
    study,
    task,
    method,
    aggregation,
    split,
    ablation,
    errors,
    start_layer,
    value,
    features.faithfulness as features,
    neurons.faithfulness as neurons,
    neurons.distance - features.distance as advantage,
    case
        when not features.inert and not neurons.inert
            then features.farthest < neurons.nearest or neurons.farthest < features.nearest
    end as clear,
    case
        when features.inert and neurons.inert then 'both'
        when features.inert then 'features'
        when neurons.inert then 'neurons'
    end as inert,
    neurons_needed
from of_features as features
join of_neurons as neurons
    using (study, task, method, aggregation, split, ablation, errors, start_layer, value)
left join needed
    using (study, task, method, aggregation, split, ablation, errors, start_layer, value)
order by study, advantage desc, task, method, aggregation, split, ablation, errors, start_layer,
    value
