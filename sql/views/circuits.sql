-- what: A sparse feature circuit of a task.
-- grain: one row per (study, task, circuit)
-- columns:
--   study: Study
--   task: Task
--   circuit: Circuit, unique in its study
--   method: ig or attrib
--   aggregation: sum: over positions; none: per position
--   node_threshold: A node is in if |effect| exceeds this [metric]
--   edge_threshold: An edge is in if |weight| exceeds this [metric]
--   edge_kind: direct, or total (through all paths)
--   n_examples: Examples of the train split
--   n_nodes: Nodes, error nodes included
--   n_error_nodes: Error nodes
--   n_edges: Edges
--   total_effect: Mean over examples of m(patch) − m(clean); null without a patch [metric]
--   feature_share: Σ|feature effects| / Σ|effects|
--   interestingness: Feature share with sites weighted by softmax(A)·A
--   writer_ratio: Σ|feature effects| of embed, attn, mlp / that of all sites
select
    study,
    task,
    circuit,
    method,
    aggregation,
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
    writer_ratio
from stored.circuits
