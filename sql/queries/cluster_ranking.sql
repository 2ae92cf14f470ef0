-- question: Which clusters are large and yet not just one answer token?
-- grain: one row per (study, clustering, cluster), best first; zero vectors (−1) left out
-- columns: place in the ranking; size; share of the clustering; mean_loss and answer_entropy in
--   nats; top_answers; top_skill; purity; score: answer_entropy × ln(size)
with proper as (
    select *, size / sum(size) over (partition by study, clustering) as share,
        answer_entropy * ln(size) as score
    from clusters
    where cluster >= 0 and size > 0
)
select
    study,
    clustering,
    cluster,
    row_number() over (
        partition by study, clustering order by score desc, size desc, cluster
    ) as place,
    size,
    share,
    mean_loss,
    answer_entropy,
    top_answers,
    top_skill,
    purity,
    score
from proper
order by study, clustering, place
