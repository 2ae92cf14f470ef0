-- question: Which clusters does a clustering have, and which of them have circuits?
-- grain: one row per cluster, largest first; zero vectors (−1) and what is left out (−2) last
-- columns: those of clusters; share of the contexts; score: answer_entropy × ln(size); circuits
--   found for the cluster as a task; interestingness of the first of them
with found as (
    select task, list(circuit order by circuit) as circuits,
        arg_min(interestingness, circuit) as interestingness
    from circuits
    where study = $study and starts_with(task, $clustering || '-')
    group by task
)
select
    cluster,
    size,
    size / sum(size) over () as share,
    mean_loss,
    top_answers,
    answer_entropy,
    top_skill,
    purity,
    silhouette,
    leaf,
    answer_entropy * ln(size) as score,
    coalesce(circuits, []) as circuits,
    interestingness
from clusters
left join found on task = $clustering || '-' || cluster
where study = $study and clustering = $clustering
order by cluster < 0, size desc, cluster
