-- question: Along which edges do the effects of a circuit flow?
-- grain: one row per edge, the strongest first; $most of them at most
-- columns: up, down: the ends, named as in circuit_nodes_drawn, `y` the metric; share_above, low,
--   high: of the bootstrap
select
    concat_ws(
        '.',
        up_site,
        case when up_feature < 0 then 'error' else up_feature::varchar end,
        up_pos
    ) as up,
    case
        when down_site = 'y' then 'y'
        else concat_ws(
            '.',
            down_site,
            case when down_feature < 0 then 'error' else down_feature::varchar end,
            down_pos
        )
    end as down,
    weight,
    share_above,
    low,
    high
from circuit_edges
where study = $study and task = $task and circuit = $circuit
order by abs(weight) desc, up, down
limit $most
