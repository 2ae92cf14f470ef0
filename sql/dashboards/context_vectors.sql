-- question: What are the vectors of some contexts made of, as their clustering took them?
-- grain: one row per context of $contexts, site, pos and feature with a value
-- columns: context_id; site; pos: null for sums; feature; value: the $representation (activations,
--   effects, abs_effects or root_effects), each site's part of norm 1 where the clustering has
--   unit_norm_per_site
with made as (
    select unit_norm_per_site, errors, aggregation
    from clusterings
    where study = $study and clustering = $clustering
),
wanted as (
    select unnest($contexts) as context_id
),
valued as (
    select context_id, site, pos, feature, unit_norm_per_site,
        case $representation
            when 'activations' then activation
            when 'effects' then effect
            when 'abs_effects' then abs(effect)
            else sqrt(abs(effect))
        end as value
    from context_features
    join wanted using (context_id)
    cross join made
    where study = $study and (errors or feature >= 0) and (aggregation = 'sum') = (pos is null)
        and (aggregation != 'last position' or pos = -1)
),
norms as (
    select
        context_id,
        site,
        case when any_value(unit_norm_per_site) then sqrt(sum(value * value)) else 1 end as norm
    from valued
    group by context_id, site
)
select
    context_id,
    site,
    pos,
    feature,
    value / norm as value
from valued
join norms using (context_id, site)
where value != 0
