-- question: Of which nodes is a circuit made?
-- grain: one row per node, the strongest first; $most of them at most
-- columns: node: its name in addresses, site.feature or site.feature.pos, `error` for feature −1;
--   label and density of the feature where they are known
select
    concat_ws(
        '.',
        nodes.site,
        case when nodes.feature < 0 then 'error' else nodes.feature::varchar end,
        pos
    ) as node,
    nodes.site,
    pos,
    nodes.feature,
    effect,
    patch_only,
    label,
    density
from circuit_nodes as nodes
left join features
    on features.study = $study
        and features.site = nodes.site
        and features.feature = nodes.feature
where nodes.study = $study and task = $task and circuit = $circuit
order by abs(effect) desc, node
limit $most
