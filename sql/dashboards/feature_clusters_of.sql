-- question: In which clusters does a feature act, where most first?
-- grain: one row per (clustering, cluster): $most at most
-- columns: as in feature_clusters
select clustering, cluster, size, contexts, share, mean_activation, mean_effect, top_skill
from feature_clusters(study := $study, site := $site, feature := $feature)
order by mean_effect desc, clustering, cluster
limit $most
