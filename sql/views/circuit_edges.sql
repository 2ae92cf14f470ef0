-- what: An edge of a circuit.
-- grain: one row per (study, task, circuit, up_site, up_pos, up_feature, down_site, down_pos,
--   down_feature)
-- columns:
--   study: Study
--   task: Task
--   circuit: Circuit, unique in its study
--   up_site: Site of the upstream node; y: the metric
--   up_pos: Position of the upstream node; null when summed [tokens]
--   up_feature: Feature of the upstream node; −1: error node; 0 at y
--   down_site: Site of the downstream node; y: the metric
--   down_pos: Position of the downstream node; null when summed [tokens]
--   down_feature: Feature of the downstream node; −1: error node; 0 at y
--   weight: Signed effect through this edge, mean over examples [metric]
--   share_above: Share of bootstrap resamples with |value| above the threshold; may be null
--   low: 5 % of the bootstrap resamples; may be null
--   high: 95 % of the bootstrap resamples; may be null
select
    circuit_edges.study,
    circuit_edges.task,
    circuit_edges.circuit,
    circuit_edges.up_site,
    circuit_edges.up_pos,
    circuit_edges.up_feature,
    circuit_edges.down_site,
    circuit_edges.down_pos,
    circuit_edges.down_feature,
    circuit_edges.weight,
    circuit_edges.share_above,
    circuit_edges.low,
    circuit_edges.high
from stored.circuit_edges
