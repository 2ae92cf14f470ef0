-- question: Which known rules do the clusters of a clustering hold?
-- grain: one row per (cluster, rule); clusters in order, the commonest rule first
-- columns: rule: skill/slot, or skill; contexts of the cluster with it; share of the cluster's
--   contexts with a known rule
with counts as (
    select cluster, concat_ws('/', skill, slot) as rule, count(*) as contexts
    from cluster_members
    join contexts using (study, context_id)
    where study = $study and clustering = $clustering and cluster >= 0 and skill is not null
    group by cluster, rule
)
select cluster, rule, contexts, contexts / sum(contexts) over (partition by cluster) as share
from counts
order by cluster, contexts desc, rule
