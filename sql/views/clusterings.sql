-- what: A clustering of the study's contexts, one row a partition.
-- grain: one row per (study, clustering)
-- columns:
--   study: Study
--   clustering: Clustering
--   representation: activations, effects, abs_effects or root_effects
--   metric: Metric of the effects: log_prob, logit or logit_minus_mean
--   aggregation: Of the contexts' features over positions: sum or last
--   similarity: cosine, clipped, angular or abs
--   unit_norm_per_site: Each site's part of a vector is scaled to norm 1
--   unit_rows: Each row of the spectral embedding is scaled to norm 1
--   errors: Error nodes are columns of the vectors too
--   svd_cut: Share of ‖X‖² in the singular directions kept; 0: no SVD
--   n_clusters: Clusters found
--   n_contexts: Contexts clustered, zero vectors included
--   n_zero: Contexts whose vector is zero (cluster −1)
--   part: all contexts, or the half to choose or to report by
--   sample: The part; of part of it, how the contexts were drawn
--   ari: Adjusted Rand index against the known rules (skill and slot)
--   nmi: Normalised mutual information with the known rules
--   purity: Share of contexts whose rule is their cluster's commonest
--   silhouette: Mean silhouette (cosine) of the contexts in clusters
--   previous_ari: ARI against the known rules of clusters by the previous token
--   previous_nmi: NMI against the known rules of clusters by the previous token
--   previous_purity: PURITY against the known rules of clusters by the previous token
--   answer_ari: ARI against the known rules of clusters by the answer token
--   answer_nmi: NMI against the known rules of clusters by the answer token
--   answer_purity: PURITY against the known rules of clusters by the answer token
--   last_ari: ARI against the known rules of clusters by last-position activations
--   last_nmi: NMI against the known rules of clusters by last-position activations
--   last_purity: PURITY against the known rules of clusters by last-position activations
--   seconds: Time that the clustering took [s]
select
    study,
    clustering,
    representation,
    metric,
    aggregation,
    similarity,
    unit_norm_per_site,
    unit_rows,
    errors,
    svd_cut,
    n_clusters,
    n_contexts,
    n_zero,
    part,
    sample,
    ari,
    nmi,
    purity,
    silhouette,
    previous_ari,
    previous_nmi,
    previous_purity,
    answer_ari,
    answer_nmi,
    answer_purity,
    last_ari,
    last_nmi,
    last_purity,
    seconds
from stored.clusterings
