-- what: A context of a clustering.
-- grain: one row per (study, clustering, context_id)
-- columns:
--   study: Study
--   clustering: Clustering
--   context_id: Context
--   cluster: Its cluster; −1: zero vector
--   x: Place on the 2-D map
--   y: Place on the 2-D map
select
    study,
    clustering,
    context_id,
    cluster,
    x,
    y
from stored.cluster_members
