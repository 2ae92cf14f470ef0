-- what: A sparse feature circuit of a task.
-- grain: one row per (study, task, circuit)
-- columns:
--   study: Study
--   task: Task
--   circuit: Circuit, unique in its study
--   method: ig or attrib
--   aggregation: sum: over positions; none: per position
--   node_threshold: A node is in if |effect| exceeds this; a total circuit has further ones [metric]
--   edge_threshold: An edge is in if |weight| exceeds this; into the metric, in a total circuit, if the node's effect exceeds node_threshold [metric]
--   edge_kind: direct: from a site to those that read it; total: from any earlier site, by all paths
--   n_examples: Examples of the train split
--   n_nodes: Nodes, error nodes included
--   n_error_nodes: Error nodes
--   n_edges: Edges
--   total_effect: Mean over examples of m(patch) − m(clean); null without a patch [metric]
--   feature_share: Σ|feature effects| / Σ|effects|; may be null
--   interestingness: Feature share with sites weighted by softmax(A)·A; may be null
--   writer_ratio: Σ|feature effects| of embed, attn, mlp / that of all sites; may be null
select
    circuits.study,
    circuits.task,
    circuits.circuit,
    circuits.method,
    circuits.aggregation,
    circuits.node_threshold,
    circuits.edge_threshold,
    circuits.edge_kind,
    circuits.n_examples,
    circuits.n_nodes,
    circuits.n_error_nodes,
    circuits.n_edges,
    circuits.total_effect,
    circuits.feature_share,
    circuits.interestingness,
    circuits.writer_ratio
from stored.circuits
