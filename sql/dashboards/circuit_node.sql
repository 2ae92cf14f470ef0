-- question: What is known of a node of a circuit, beyond its effect?
-- grain: one row: the node
-- columns: low, high, share_above: of the bootstrap of its effect; the rest of its feature; null
--   where unknown
with effects as (
    select share_above, low, high
    from node_effects
    where study = $study
        and task = $task
        and method = $method
        and aggregation = $aggregation
        and site = $site
        and feature = $feature
        and pos is not distinct from $pos
),
known as (
    select density, mean_activation, max_activation, label
    from features
    where study = $study and site = $site and feature = $feature
)
select share_above, low, high, density, mean_activation, max_activation, label
from (values (1)) as one (row_number)
left join effects on true
left join known on true
limit 1
