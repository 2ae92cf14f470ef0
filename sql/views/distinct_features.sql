-- what: A feature that tells a cluster from the others of its clustering.
-- grain: one row per (study, clustering, cluster, place)
-- columns:
--   study: Study
--   clustering: Clustering
--   cluster: Cluster
--   place: Place within the cluster, by difference, from 1
--   site: Where in the model: embed, z_i, attn_i, mid_i, mlp_i, resid_i
--   feature: Feature of the site's dictionary
--   share: Share of the cluster's contexts in which it is active
--   share_else: The same of the other clusters' contexts; may be null
--   mean_effect: Mean over the cluster's contexts of |effect|, summed over positions
--   mean_effect_else: The same over the other clusters' contexts; may be null
--   difference: mean_effect less mean_effect_else
select
    distinct_features.study,
    distinct_features.clustering,
    distinct_features.cluster,
    distinct_features.place,
    distinct_features.site,
    distinct_features.feature,
    distinct_features.share,
    distinct_features.share_else,
    distinct_features.mean_effect,
    distinct_features.mean_effect_else,
    distinct_features.difference
from stored.distinct_features
