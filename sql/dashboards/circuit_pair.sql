-- question: Which nodes do two circuits of a study share, and which has one alone?
-- grain: one row per (site, feature) of either, summed over positions; the strongest first
-- columns: one, two: its effect in each, null where it is no node; label where known
with nodes as (
    select circuit, site, feature, sum(effect) as effect
    from circuit_nodes
    where study = $study and task in ($task, $other_task) and circuit in ($circuit, $other)
    group by circuit, site, feature
)
select
    nodes.site,
    nodes.feature,
    max(effect) filter (where circuit = $circuit) as one,
    max(effect) filter (where circuit = $other) as two,
    any_value(label) as label
from nodes
left join features
    on features.study = $study
        and features.site = nodes.site
        and features.feature = nodes.feature
group by nodes.site, nodes.feature
order by greatest(abs(coalesce(one, 0)), abs(coalesce(two, 0))) desc, nodes.site, nodes.feature
