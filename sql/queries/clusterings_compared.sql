-- question: Which representation finds the known rules best, on contexts that did not choose it?
-- grain: one row per representation and its options (study, representation, metric, aggregation,
--   similarity, unit_norm_per_site, unit_rows, errors, svd_cut, assign, min_cluster_size,
--   clusters_asked), best first
-- columns: the options; clusterings of either part that they have, averaged where there are several
--   of a part, and n_clusters that each of them found; choose_ari and report_ari on the two halves; ari_seeds and ari_halves: how stable
--   the clusterings of either part are; chosen: of the study's largest choose_ari; of the reporting
--   half, previous_ari, answer_ari and last_ari of the trivial groupings, and over_previous,
--   over_answer, over_last: report_ari less theirs
with compared as (
    select
        study,
        representation,
        metric,
        aggregation,
        similarity,
        unit_norm_per_site,
        unit_rows,
        errors,
        svd_cut,
        assign,
        min_cluster_size,
        coalesce(clusters_asked, n_clusters) as clusters_asked,
        list(clustering order by clustering) as clusterings,
        list(n_clusters order by clustering) as n_clusters,
        avg(ari) filter (where part = 'choose') as choose_ari,
        avg(ari) filter (where part = 'report') as report_ari,
        avg(ari_seeds) as ari_seeds,
        avg(ari_halves) as ari_halves,
        avg(previous_ari) filter (where part = 'report') as previous_ari,
        avg(answer_ari) filter (where part = 'report') as answer_ari,
        avg(last_ari) filter (where part = 'report') as last_ari
    from clusterings
    where part in ('choose', 'report')
    group by all
)
select
    *,
    choose_ari is not null and row_number() over (
        partition by study order by choose_ari desc nulls last, clusterings
    ) = 1 as chosen,
    report_ari - previous_ari as over_previous,
    report_ari - answer_ari as over_answer,
    report_ari - last_ari as over_last
from compared
order by study, choose_ari desc nulls last, clusterings
