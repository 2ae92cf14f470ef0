-- question: How was each clustering made, and how well does it find the known rules?
-- grain: one row per clustering, best ari first
-- columns: those of clusterings; over_answer: ari less answer_ari; best_baseline: the largest of
--   previous_ari, answer_ari and last_ari
select
    *,
    ari - answer_ari as over_answer,
    greatest(previous_ari, answer_ari, last_ari) as best_baseline
from clusterings
where study = $study
order by ari desc nulls last, silhouette desc nulls last, clustering
