-- what: A cluster of a clustering.
-- grain: one row per (study, clustering, cluster)
-- columns:
--   study: Study
--   clustering: Clustering
--   cluster: Cluster; −1: zero vectors
--   size: Contexts
--   mean_loss: Mean loss of the answers in their documents [nats]
--   top_answers: Commonest answer tokens, commonest first
--   answer_entropy: Entropy of the answer token within the cluster [nats]
--   top_skill: Commonest known rule: skill/slot, or skill without a slot
--   purity: Share of the contexts with a known rule that have the commonest
--   silhouette: Mean silhouette of its sampled contexts
select
    study,
    clustering,
    cluster,
    size,
    mean_loss,
    top_answers,
    answer_entropy,
    top_skill,
    purity,
    silhouette
from stored.clusters
