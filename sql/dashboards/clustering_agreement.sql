-- question: Which clusters of one clustering hold the contexts of which clusters of another?
-- grain: one row per (cluster, other_cluster) with contexts of both
-- columns: cluster of $clustering; other_cluster of $other; contexts in both; share of the
--   cluster's; size of the cluster and other_size of the other, of the contexts that both
--   clusterings have; shared: those contexts; ari of the two clusterings on them
with both_clusters as (
    select one.cluster, two.cluster as other_cluster
    from cluster_members as one
    join cluster_members as two using (context_id)
    where one.study = $study and one.clustering = $clustering
        and two.study = $study and two.clustering = $other
),
cells as (
    select cluster, other_cluster, count(*) as contexts
    from both_clusters
    group by cluster, other_cluster
),
sums as (
    select *,
        sum(contexts) over (partition by cluster) as size,
        sum(contexts) over (partition by other_cluster) as other_size,
        sum(contexts) over () as shared
    from cells
),
agreed as (  -- pairs of contexts that are together: in both, in one, in the other, expected
    select
        sum(contexts * (contexts - 1) / 2) as together,
        sum((size - 1) / 2 * contexts) as together_one,
        sum((other_size - 1) / 2 * contexts) as together_two,
        any_value(shared * (shared - 1) / 2) as pairs
    from sums
),
scored as (
    select
        (together - together_one * together_two / pairs)
        / nullif((together_one + together_two) / 2 - together_one * together_two / pairs, 0) as ari
    from agreed
)
select
    cluster,
    other_cluster,
    contexts,
    contexts / size as share,
    size,
    other_size,
    shared,
    ari
from sums
cross join scored
order by cluster, contexts desc, other_cluster
