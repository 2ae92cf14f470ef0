-- what: Clusters in which a feature is active, those where it acts most first
-- parameters:
--   study varchar: the study
--   site varchar: embed, z_i, attn_i, mid_i, mlp_i or resid_i
--   feature bigint: feature of the site's dictionary
-- grain: one row per (clustering, cluster), without those below 0
-- columns: task: name of the cluster among the tasks; size; contexts in which the feature is
--   active, and share of the cluster; mean_activation where active; mean_effect: mean of |effect|
--   over the whole cluster; top_skill: the cluster's commonest known rule
with counts as (
    select
        members.clustering,
        members.cluster,
        count(*) as contexts,
        avg(active.activation) as mean_activation,
        sum(abs(active.effect)) as total_effect
    from feature_contexts($study, $site, $feature) as active
    join cluster_members as members using (context_id)
    where members.study = $study and members.cluster >= 0
    group by members.clustering, members.cluster
)
select
    counts.clustering,
    counts.cluster,
    counts.clustering || '-' || counts.cluster as task,
    clusters.size,
    counts.contexts,
    counts.contexts / clusters.size as share,
    counts.mean_activation,
    counts.total_effect / clusters.size as mean_effect,
    clusters.top_skill
from counts
join clusters using (clustering, cluster)
where clusters.study = $study
order by mean_effect desc, counts.clustering, counts.cluster
