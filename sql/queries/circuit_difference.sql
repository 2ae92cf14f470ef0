-- question: How do two circuits of a study differ?
-- parameters:
--   one varchar: a circuit
--   other varchar: another
-- grain: one row per (study, site, feature), where their shares differ most first; error nodes
--   (feature −1) among them
-- columns: found: both, one or other; effect_one and effect_other: summed over positions, in each
--   metric's unit, null where it is no node; share_one and share_other: signed, of the circuit's
--   Σ|effect| over these rows, 0 where it is no node (of circuits with unlike total effects only
--   shares compare); difference: share_one − share_other, above 0 where it supports the clean
--   answer more in `one`; label
with summed as (
    select study, nodes.circuit as name, site, feature, sum(effect) as effect
    from circuit_nodes as nodes
    where nodes.circuit in ($one, $other)
    group by study, name, site, feature
),
shares as (
    select *, effect / sum(abs(effect)) over (partition by study, name) as share
    from summed
),
compared as (
    select
        study,
        site,
        feature,
        max(effect) filter (where name = $one) as effect_one,
        max(effect) filter (where name = $other) as effect_other,
        coalesce(max(share) filter (where name = $one), 0) as share_one,
        coalesce(max(share) filter (where name = $other), 0) as share_other
    from shares
    group by study, site, feature
)
select
    study,
    site,
    feature,
    case
        when effect_other is null then 'one'
        when effect_one is null then 'other'
        else 'both'
    end as found,
    effect_one,
    effect_other,
    share_one,
    share_other,
    share_one - share_other as difference,
    label
from compared
left join features using (study, site, feature)
order by study, abs(difference) desc, site_place(site), feature
