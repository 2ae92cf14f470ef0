-- question: Which features do the contexts of a cluster have in common?
-- grain: one row per (study, clustering, cluster, site, feature): the 20 of largest mean_effect
-- columns: place within the cluster; contexts of the cluster in which it is active, and their
--   share; mean_activation where active; mean_effect: mean of |effect| over the whole cluster;
--   label. Values are sums over positions: those stored (pos is null), else of the rows kept
with sizes as (
    select study, clustering, cluster, count(*) as size
    from cluster_members
    where cluster >= 0
    group by study, clustering, cluster
),
context_sums as (
    select study, context_id, site, feature,
        coalesce(sum(activation) filter (where pos is null), sum(activation)) as activation,
        coalesce(sum(effect) filter (where pos is null), sum(effect)) as effect
    from context_features
    where feature >= 0
    group by study, context_id, site, feature
),
feature_sums as (
    select study, clustering, cluster, site, feature, count(*) as contexts,
        avg(activation) as mean_activation, sum(abs(effect)) as total_effect
    from cluster_members
    join context_sums using (study, context_id)
    group by study, clustering, cluster, site, feature
),
ranked as (
    select *, total_effect / size as mean_effect, contexts / size as share,
        row_number() over (
            partition by study, clustering, cluster order by total_effect desc, site, feature
        ) as place
    from feature_sums
    join sizes using (study, clustering, cluster)
)
select study, clustering, cluster, place, site, feature, contexts, share,
    ranked.mean_activation, mean_effect, label
from ranked
left join features using (study, site, feature)
where place <= 20
order by study, clustering, cluster, place
