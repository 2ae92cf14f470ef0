-- question: Which known rules does each cluster hold, and does it hold all of a rule?
-- grain: one row per (study, clustering, cluster, skill, slot)
-- columns: contexts; share_of_cluster; share_of_rule (both among contexts with a known rule)
with counts as (
    select study, clustering, cluster, skill, slot, count(*) as contexts
    from cluster_members
    join contexts using (study, context_id)
    where skill is not null
    group by study, clustering, cluster, skill, slot
)
select
    study,
    clustering,
    cluster,
    skill,
    slot,
    contexts,
    contexts / sum(contexts) over (partition by study, clustering, cluster) as share_of_cluster,
    contexts / sum(contexts) over (partition by study, clustering, skill, slot) as share_of_rule
from counts
order by study, clustering, cluster, contexts desc, skill, slot
