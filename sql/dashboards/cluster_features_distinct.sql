-- question: Which features tell a cluster of a clustering from the others?
-- grain: one row per (cluster, site, feature): of each cluster the 12 of largest difference, above 0
-- columns: place within the cluster; share of its contexts in which the feature is active, and
--   share_else of the others'; mean_effect: mean of |effect| over the cluster, and
--   mean_effect_else over the others; difference of the two; label. Values are sums over
--   positions: those stored (pos is null), else of the rows kept; of activations where effects
--   are not stored
with members as (
    select context_id, cluster
    from cluster_members
    where study = $study and clustering = $clustering and cluster >= 0
),
sizes as (
    select cluster, count(*) as size, sum(count(*)) over () as total
    from members
    group by cluster
),
kept as (
    select context_id, site, feature, pos, coalesce(effect, activation) as value
    from context_features
    where study = $study and feature >= 0
),
summed as (
    select exists (from kept where pos is null) as is_summed
),
gathered as (
    select context_id, site, feature, sum(value) as value
    from kept
    where not (select is_summed from summed)
    group by context_id, site, feature
),
sums as (
    select context_id, site, feature, value from kept where pos is null
    union all
    from gathered
),
inside as (
    select cluster, site, feature, count(*) as active, sum(abs(value)) as effect
    from sums
    join members using (context_id)
    group by cluster, site, feature
),
both_sides as (
    select
        cluster,
        site,
        feature,
        active / size as share,
        effect / size as mean_effect,
        (sum(active) over of_feature - active) / nullif(total - size, 0) as share_else,
        (sum(effect) over of_feature - effect) / nullif(total - size, 0) as mean_effect_else
    from inside
    join sizes using (cluster)
    window of_feature as (partition by site, feature)
),
ranked as (
    select *, mean_effect - coalesce(mean_effect_else, 0) as difference,
        row_number() over (
            partition by cluster
            order by mean_effect - coalesce(mean_effect_else, 0) desc, site, feature
        ) as place
    from both_sides
)
select cluster, place, site, feature, share, share_else, mean_effect, mean_effect_else,
    difference, label
from ranked
left join (from features where study = $study) using (site, feature)
where place <= 12 and difference > 0
order by cluster, place
