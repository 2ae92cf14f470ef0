-- question: Where do circuits of features beat circuits of neurons in faithfulness?
-- grain: one row per (study, task, method, aggregation, split, ablation, errors, start_layer,
--   value), greatest advantage first
-- columns: value: nodes asked for; features and neurons: faithfulness of as many; advantage: the
--   difference; clear: the bootstrap intervals (5 to 95 %) do not overlap; neurons_needed: nodes of
--   the smallest neuron circuit at least as faithful as that of features (null: none measured)
with measured as (
    select study, task, method, aggregation, split, ablation, errors, start_layer,
        value::bigint as value, unit, n_nodes, faithfulness, low, high
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
    where neurons.faithfulness >= features.faithfulness
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
    features.faithfulness - neurons.faithfulness as advantage,
    features.low > neurons.high or neurons.low > features.high as clear,
    neurons_needed
from of_features as features
join of_neurons as neurons
    using (study, task, method, aggregation, split, ablation, errors, start_layer, value)
left join needed
    using (study, task, method, aggregation, split, ablation, errors, start_layer, value)
order by study, advantage desc, task, method, aggregation, split, ablation, errors, start_layer,
    value
