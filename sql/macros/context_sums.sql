-- what: Features of contexts, each summed over the positions: those stored as sums, else the sum
--   of the positions kept
-- grain: one row per (study, context_id, site, feature)
-- columns: activation and effect; the effect is a sum of products
with summed as (
    select study, shard
    from context_features
    where pos is null
    group by study, shard
)
select study, context_id, site, feature, activation, effect
from context_features
where pos is null
union all
select study, context_id, site, feature, sum(activation) as activation, sum(effect) as effect
from context_features
anti join summed using (study, shard)
where pos is not null
group by study, context_id, site, feature
