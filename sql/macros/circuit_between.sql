-- what: The part of a circuit that lies between two nodes or sites: every edge on a path from one
--   to the other, strongest first
-- parameters:
--   study varchar: the study
--   circuit varchar: the circuit
--   source varchar: where paths start: a site (embed), a node (embed/17, or embed/17@3 at position 3)
--   target varchar: where paths end: a site, a node, or y
-- grain: one row per (up, down)
-- columns: up and down: the ends, as node_name says them; weight in the metric's unit; share_above,
--   low and high of its bootstrap; up_site, up_pos, up_feature, down_site, down_pos, down_feature
with recursive edges as materialized (
    select
        node_name(all_edges.up_site, all_edges.up_pos, all_edges.up_feature) as up,
        node_name(all_edges.down_site, all_edges.down_pos, all_edges.down_feature) as down,
        all_edges.*
    from circuit_edges as all_edges
    where all_edges.study = $study and all_edges.circuit = $circuit
),
reached(node) as (
    select up
    from edges
    where $source in (up_site, node_name(up_site, null, up_feature), up)
    union
    select down
    from reached
    join edges on up = node
),
leads(node) as (
    select down
    from edges
    where $target in (down_site, node_name(down_site, null, down_feature), down)
    union
    select up
    from leads
    join edges on down = node
)
select
    up,
    down,
    weight,
    share_above,
    low,
    high,
    up_site,
    up_pos,
    up_feature,
    down_site,
    down_pos,
    down_feature
from edges
where up in (select node from reached) and down in (select node from leads)
order by abs(weight) desc, up, down
