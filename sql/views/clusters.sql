-- what: A cluster of a clustering.
-- grain: one row per (study, clustering, cluster)
-- columns:
--   study: Study
--   clustering: Clustering
--   cluster: Cluster; −1: zero vectors; −2: left out by HDBSCAN
--   size: Contexts
--   mean_loss: Mean loss of the answers in their documents [nats]
--   top_answers: Commonest answer tokens, commonest first
--   answer_entropy: Entropy of the answer token within the cluster [nats]
--   top_skill: Commonest known rule: skill/slot, or skill without a slot; may be null
--   purity: Share of the contexts with a known rule that have the commonest; may be null
--   silhouette: Mean silhouette (cosine) of its contexts; may be null
--   leaf: Place, from 0, where clusters are put in the order of a tree, like ones together: average
--     linkage of the cosines of their mean unit vectors; null below cluster 0
select
    clusters.study,
    clusters.clustering,
    clusters.cluster,
    clusters.size,
    clusters.mean_loss,
    clusters.top_answers,
    clusters.answer_entropy,
    clusters.top_skill,
    clusters.purity,
    clusters.silhouette,
    clusters.leaf
from stored.clusters
