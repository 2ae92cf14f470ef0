-- what: Everything that a feature takes part in: its circuits, then clusters, then contexts
-- parameters:
--   study varchar: the study
--   site varchar: embed, z_i, attn_i, mid_i, mlp_i or resid_i
--   feature bigint: feature of the site's dictionary
-- grain: one row per (kind, name), strongest first within a kind
-- columns: kind: circuit, cluster or context; name of the circuit or of the cluster's task, or the
--   context_id as text; about: the task, the cluster's commonest rule, or the context's answer;
--   contexts of a cluster in which it is active; share of the circuit's Σ|effect|, or of the
--   cluster's contexts; activation (of a cluster: the mean where active); effect, signed and summed
--   over positions (of a cluster: the mean of |effect|)
with acts as (
    select 1 as part, 'circuit' as kind, circuit as name, task as about, null::bigint as contexts,
        sum(share) as share, null::double as activation, sum(effect) as effect, sum(share) as weight
    from feature_circuits($study, $site, $feature)
    group by circuit, task
    union all
    select 2, 'cluster', task, top_skill, contexts, share, mean_activation, mean_effect, mean_effect
    from feature_clusters($study, $site, $feature)
    union all
    select 3, 'context', context_id::varchar, answer, null, null, activation, effect, activation
    from feature_contexts($study, $site, $feature)
)
select kind, name, about, contexts, share, activation, effect
from acts
order by part, weight desc, name
