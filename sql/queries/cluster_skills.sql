-- question: Which known rules does each cluster hold, and does it hold all of a rule?
-- grain: one row per (study, clustering, cluster, skill)
-- columns: contexts; share_of_cluster; share_of_skill (both among contexts with a known rule)
with counts as (
    select study, clustering, cluster, skill, count(*) as contexts
    from cluster_members
    join contexts using (study, context_id)
    where skill is not null
    group by study, clustering, cluster, skill
)
select
    study,
    clustering,
    cluster,
    skill,
    contexts,
    contexts / sum(contexts) over (partition by study, clustering, cluster) as share_of_cluster,
    contexts / sum(contexts) over (partition by study, clustering, skill) as share_of_skill
from counts
order by study, clustering, cluster, contexts desc, skill
