-- question: Which features do the contexts of a cluster have in common?
-- parameters:
--   clustering varchar: the clustering
--   places bigint = 20: how many features of each cluster
-- grain: one row per (study, clustering, cluster, site, feature): those of largest mean_effect
-- columns: place within the cluster; contexts of the cluster in which it is active, and their
--   share; mean_activation where active; mean_effect: mean of |effect|, summed over positions, over
--   the whole cluster; elsewhere: the same over the clustering's other clusters; label
with members as (
    select study, context_id, cluster
    from cluster_members as placed
    where placed.clustering = $clustering and cluster >= 0
),
sizes as (
    select study, cluster, count(*) as size, sum(count(*)) over (partition by study) as total
    from members
    group by study, cluster
),
feature_sums as (
    select study, cluster, site, feature, count(*) as contexts,
        sum(activation) as activation, sum(abs(effect)) as effect
    from members
    join context_sums() using (study, context_id)
    where feature >= 0
    group by study, cluster, site, feature
),
means as (
    select
        feature_sums.*,
        contexts / size as share,
        activation / contexts as mean_activation,
        effect / size as mean_effect,
        (sum(effect) over (partition by study, site, feature) - effect)
            / nullif(total - size, 0) as elsewhere
    from feature_sums
    join sizes using (study, cluster)
),
ranked as (
    select *, row_number() over (
        partition by study, cluster order by mean_effect desc, site, feature
    ) as place
    from means
)
select
    study,
    $clustering as clustering,
    cluster,
    place,
    site,
    feature,
    contexts,
    share,
    round(ranked.mean_activation, 9) as mean_activation,
    round(mean_effect, 9) as mean_effect,
    round(elsewhere, 9) as elsewhere,
    label
from ranked
left join features using (study, site, feature)
where place <= $places
order by study, cluster, place
