-- question: How alike are two circuits of a study?
-- grain: one row per (study, circuit, other), circuit < other, most alike first
-- columns: all are of features alone, error nodes left out, and of effects summed over positions:
--   nodes_both; nodes_either; jaccard of the two; cosine of the effects (−1 to 1), which are 0 where
--   it is no node; rank_correlation: Spearman's, of the signed effects of nodes_both
with nodes as (
    select study, circuit, site, feature, sum(effect) as effect
    from circuit_nodes
    where feature >= 0
    group by study, circuit, site, feature
),
sizes as (
    select study, circuit, count(*) as nodes, sqrt(sum(effect * effect)) as norm
    from nodes
    group by study, circuit
),
shared as (
    select one.study, one.circuit, two.circuit as other, one.effect, two.effect as other_effect
    from nodes as one
    join nodes as two using (study, site, feature)
    where one.circuit < two.circuit
),
placed as (  -- equals have the mean of their places
    select
        *,
        rank() over (partition by study, circuit, other order by effect)
            + (count(*) over (partition by study, circuit, other, effect) - 1) / 2 as place,
        rank() over (partition by study, circuit, other order by other_effect)
            + (count(*) over (partition by study, circuit, other, other_effect) - 1) / 2
            as other_place
    from shared
),
common as (
    select study, circuit, other, count(*) as nodes_both, sum(effect * other_effect) as product,
        case
            when min(place) < max(place) and min(other_place) < max(other_place)
                then corr(place, other_place)
        end as rank_correlation
    from placed
    group by study, circuit, other
)
select
    one.study,
    one.circuit,
    two.circuit as other,
    coalesce(nodes_both, 0) as nodes_both,
    one.nodes + two.nodes - coalesce(nodes_both, 0) as nodes_either,
    coalesce(nodes_both, 0) / nodes_either as jaccard,
    round(coalesce(product, 0) / nullif(one.norm * two.norm, 0), 9) as cosine,
    round(rank_correlation, 9) as rank_correlation
from sizes as one
join sizes as two on two.study = one.study and one.circuit < two.circuit
left join common
    on common.study = one.study and common.circuit = one.circuit and common.other = two.circuit
order by one.study, jaccard desc, one.circuit, two.circuit
