-- question: How do two circuits of a study differ?
-- parameters:
--   one varchar: a circuit
--   other varchar: another
-- grain: one row per (study, site, feature), where their shares differ most first; error nodes
--   (feature −1) among them
-- columns: found: both, one or other; effect and other_effect: summed over positions, in each
--   metric's unit, null where it is no node; share and other_share: signed, of the circuit's
--   Σ|effect|, 0 where it is no node; difference of the shares; label
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
        max(effect) filter (where name = $one) as effect,
        max(effect) filter (where name = $other) as other_effect,
        coalesce(max(share) filter (where name = $one), 0) as share,
        coalesce(max(share) filter (where name = $other), 0) as other_share
    from shares
    group by study, site, feature
)
select
    study,
    site,
    feature,
    case
        when other_effect is null then 'one'
        when effect is null then 'other'
        else 'both'
    end as found,
    effect,
    other_effect,
    share,
    other_share,
    share - other_share as difference,
    label
from compared
left join features using (study, site, feature)
order by study, abs(difference) desc, layer_of(site), site, feature
