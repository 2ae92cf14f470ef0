-- question: Which features take part in many circuits?
-- grain: one row per (study, site, feature): the 100 in most circuits, of those in two or more
-- columns: circuits: how many; mean_effect and mean_abs_effect over them, in the metric's unit;
--   label; density
with nodes as (
    select study, circuit, site, feature, sum(effect) as effect
    from circuit_nodes
    where feature >= 0
    group by study, circuit, site, feature
),
shared as (
    select study, site, feature, count(*) as circuits, avg(effect) as mean_effect,
        avg(abs(effect)) as mean_abs_effect
    from nodes
    group by study, site, feature
    having count(*) >= 2
)
select study, site, feature, circuits, mean_effect, mean_abs_effect, label, density
from shared
left join features using (study, site, feature)
qualify row_number() over (
    partition by study order by circuits desc, mean_abs_effect desc, site, feature
) <= 100
order by study, circuits desc, mean_abs_effect desc, site, feature
