-- what: A clustering of the study's contexts, one row a partition.
-- grain: one row per (study, clustering)
-- columns:
--   study: Study
--   clustering: Clustering
--   representation: activations, effects, abs_effects, root_effects or gradients
--   metric: Metric of the effects: log_prob, logit or logit_minus_mean
--   aggregation: Of features over positions: sum, last (each of the last ones) or last position
--   similarity: cosine, clipped, angular or abs
--   unit_norm_per_site: Each site's part of a vector is scaled to norm 1; null for gradients; may
--     be null
--   unit_rows: Each row of the spectral embedding is scaled to norm 1; may be null
--   errors: Error nodes are columns of the vectors too; null for gradients; may be null
--   svd_cut: Share of ‖X‖² in the singular directions kept; 0: no SVD; may be null
--   assign: What groups the embedding: kmeans, cluster_qr or hdbscan; may be null
--   min_cluster_size: Contexts of a cluster at least; null but for hdbscan; may be null
--   clusters_asked: Clusters asked for; with hdbscan, dimensions to find them in; may be null
--   n_clusters: Clusters found
--   n_contexts: Contexts clustered, zero vectors included
--   n_zero: Contexts whose vector is zero (cluster −1); may be null
--   n_left_out: Contexts that HDBSCAN leaves out (cluster −2); may be null
--   part: all contexts, or the half to choose or to report by; may be null
--   sample: The part; of part of it, how the contexts were drawn
--   ari: Adjusted Rand index against the known rules (skill and slot); may be null
--   nmi: Normalised mutual information with the known rules; may be null
--   purity: Share of contexts whose rule is their cluster's commonest; may be null
--   silhouette: Mean silhouette (cosine) of the contexts in clusters; may be null
--   ari_seeds: Mean ARI with k-means from other seeds on the same embedding; null for other
--     groupings, and above 20,000 contexts
--   ari_halves: Mean ARI with clusterings of either half of the contexts alone; null where halves
--     are too small, and above 20,000 contexts
--   residual: How exact the eigenvectors of the embedding are: the largest ‖A v − λ v‖ / |λ| of
--     those used; may be null
--   previous_ari: ARI against the known rules of clusters by the previous token; may be null
--   previous_nmi: NMI against the known rules of clusters by the previous token; may be null
--   previous_purity: PURITY against the known rules of clusters by the previous token; may be null
--   answer_ari: ARI against the known rules of clusters by the answer token; may be null
--   answer_nmi: NMI against the known rules of clusters by the answer token; may be null
--   answer_purity: PURITY against the known rules of clusters by the answer token; may be null
--   last_ari: ARI against the known rules of clusters by last-position activations; may be null
--   last_nmi: NMI against the known rules of clusters by last-position activations; may be null
--   last_purity: PURITY against the known rules of clusters by last-position activations; may be
--     null
--   seconds: Time that the clustering took; may be null [s]
select
    clusterings.study,
    clusterings.clustering,
    clusterings.representation,
    clusterings.metric,
    clusterings.aggregation,
    clusterings.similarity,
    clusterings.unit_norm_per_site,
    clusterings.unit_rows,
    clusterings.errors,
    clusterings.svd_cut,
    clusterings.assign,
    clusterings.min_cluster_size,
    clusterings.clusters_asked,
    clusterings.n_clusters,
    clusterings.n_contexts,
    clusterings.n_zero,
    clusterings.n_left_out,
    clusterings.part,
    clusterings.sample,
    clusterings.ari,
    clusterings.nmi,
    clusterings.purity,
    clusterings.silhouette,
    clusterings.ari_seeds,
    clusterings.ari_halves,
    clusterings.residual,
    clusterings.previous_ari,
    clusterings.previous_nmi,
    clusterings.previous_purity,
    clusterings.answer_ari,
    clusterings.answer_nmi,
    clusterings.answer_purity,
    clusterings.last_ari,
    clusterings.last_nmi,
    clusterings.last_purity,
    clusterings.seconds
from stored.clusterings
