-- what: A node of a circuit.
-- grain: one row per (study, task, circuit, site, pos, feature)
-- columns:
--   study: Study
--   task: Task
--   circuit: Circuit, unique in its study
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   pos: Position of the node; null when summed [tokens]
--   feature: Feature of the site's dictionary; −1: the error node
--   effect: Signed effect; positive supports the clean answer [metric]
--   patch_only: Share of examples in which it is active in the patch alone; may be null
select
    circuit_nodes.study,
    circuit_nodes.task,
    circuit_nodes.circuit,
    circuit_nodes.site,
    circuit_nodes.pos,
    circuit_nodes.feature,
    circuit_nodes.effect,
    circuit_nodes.patch_only
from stored.circuit_nodes
