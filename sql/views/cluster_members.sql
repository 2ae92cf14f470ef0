-- what: A context of a clustering.
-- grain: one row per (study, clustering, context_id)
-- columns:
--   study: Study
--   clustering: Clustering
--   context_id: Context
--   cluster: Its cluster; −1: zero vector; −2: left out by HDBSCAN
--   x: Place on the 2-D map; may be null
--   y: Place on the 2-D map; may be null
select
    cluster_members.study,
    cluster_members.clustering,
    cluster_members.context_id,
    cluster_members.cluster,
    cluster_members.x,
    cluster_members.y
from stored.cluster_members
