-- question: Which clusters are worth a look?
-- parameters:
--   ranked_by varchar = 'variety': variety, interestingness, purity, loss or size
-- grain: one row per (study, clustering, cluster), best first; those below 0 left out
-- columns: place in the ranking, what has no figure last; size; share of the clustering; mean_loss
--   and answer_entropy in nats (loss ranks the smallest first); top_answers; top_skill; purity;
--   variety: answer_entropy × ln(size), of clusters that are large and yet not one answer token;
--   circuit: the most interesting one of the cluster's task, if any; its interestingness
with task_circuits as (
    select study, task, arg_max(circuit, interestingness) as circuit,
        max(interestingness) as interestingness
    from circuits
    group by study, task
),
proper as (
    select
        study,
        clustering,
        cluster,
        clustering || '-' || cluster as task,
        size,
        size / sum(size) over (partition by study, clustering) as share,
        mean_loss,
        answer_entropy,
        top_answers,
        top_skill,
        purity,
        answer_entropy * ln(size) as variety
    from clusters
    where cluster >= 0 and size > 0
),
scored as (
    select
        proper.*,
        circuit,
        interestingness,
        case $ranked_by
            when 'variety' then variety
            when 'interestingness' then interestingness
            when 'purity' then purity
            when 'loss' then -mean_loss
            when 'size' then size
            else error('ranked_by: variety, interestingness, purity, loss or size')
        end as score
    from proper
    left join task_circuits using (study, task)
)
select
    study,
    clustering,
    cluster,
    row_number() over (
        partition by study, clustering order by score desc nulls last, size desc, cluster
    ) as place,
    size,
    share,
    mean_loss,
    answer_entropy,
    top_answers,
    top_skill,
    purity,
    variety,
    circuit,
    interestingness
from scored
order by study, clustering, place
