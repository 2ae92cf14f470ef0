-- what: Circuits in which a feature is a node, those where it counts most first
-- parameters:
--   study varchar: the study
--   site varchar: embed, z_i, attn_i, mid_i, mlp_i or resid_i
--   feature bigint: feature of the site's dictionary; −1: the error node
-- grain: one row per (circuit, pos)
-- columns: task; pos: null when summed; effect in the metric's unit; share of the circuit's
--   Σ|effect|; place by |effect| within the circuit; edges_in and edges_out of the node
with ranked as (
    select
        nodes.*,
        abs(nodes.effect) / sum(abs(nodes.effect)) over (partition by nodes.circuit) as share,
        row_number() over (
            partition by nodes.circuit
            order by abs(nodes.effect) desc, nodes.site, nodes.pos, nodes.feature
        ) as place
    from circuit_nodes as nodes
    where nodes.study = $study
),
incoming as (
    select circuit, down_pos, count(*) as edges_in
    from circuit_edges
    where circuit_edges.study = $study and down_site = $site and down_feature = $feature
    group by circuit, down_pos
),
outgoing as (
    select circuit, up_pos, count(*) as edges_out
    from circuit_edges
    where circuit_edges.study = $study and up_site = $site and up_feature = $feature
    group by circuit, up_pos
)
select
    ranked.circuit,
    ranked.task,
    ranked.pos,
    ranked.effect,
    ranked.share,
    ranked.place,
    coalesce(incoming.edges_in, 0) as edges_in,
    coalesce(outgoing.edges_out, 0) as edges_out
from ranked
left join incoming
    on incoming.circuit = ranked.circuit and incoming.down_pos is not distinct from ranked.pos
left join outgoing
    on outgoing.circuit = ranked.circuit and outgoing.up_pos is not distinct from ranked.pos
where ranked.site = $site and ranked.feature = $feature
order by ranked.share desc, ranked.circuit, ranked.pos
