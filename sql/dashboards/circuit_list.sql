-- question: Which circuits does a study have, and how faithful are they?
-- grain: one row per circuit, by task
-- columns: those of circuits; faithfulness, completeness: of the features beyond the circuit's own
--   threshold, on the test split, by mean ablation where it was measured (null: never measured, as
--   of what a circuit of total edges has besides)
with measured as (
    select task, method, aggregation, value, faithfulness, completeness, low, high
    from faithfulness
    where study = $study
        and unit = 'feature'
        and selection = 'threshold'
        and errors = 'default'
        and split = 'test'
    qualify row_number() over (
        partition by task, method, aggregation, value
        order by ablation <> 'mean', ablation, start_layer
    ) = 1
)
select
    circuit,
    circuits.task,
    circuits.method,
    circuits.aggregation,
    node_threshold,
    edge_threshold,
    edge_kind,
    n_examples,
    n_nodes,
    n_error_nodes,
    n_edges,
    total_effect,
    feature_share,
    interestingness,
    faithfulness,
    completeness,
    low,
    high
from circuits
left join measured
    on measured.task = circuits.task
        and measured.method = circuits.method
        and measured.aggregation = circuits.aggregation
        and abs(value - node_threshold) <= 1e-9 * abs(node_threshold)
        and edge_kind = 'direct'
where study = $study
order by circuits.task, circuit
