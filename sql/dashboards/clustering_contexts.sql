-- question: Which contexts did a clustering group, and where do they lie on its map?
-- grain: one row per context, by document and position
-- columns: cluster; doc_id and pos of the answer; answer; loss and context_loss in nats; rule:
--   skill/slot, or skill; skill; subset of the document; x and y on the map; distance from the
--   mean place of its cluster there
with placed as (
    select context_id, cluster, x, y,
        sqrt(
            pow(x - avg(x) over (partition by cluster), 2)
            + pow(y - avg(y) over (partition by cluster), 2)
        ) as distance
    from cluster_members
    where study = $study and clustering = $clustering
),
subsets as (
    select doc_id, pile_set_name as subset from documents where study = $study
)
select
    context_id,
    cluster,
    doc_id,
    pos,
    answer,
    loss,
    context_loss,
    skill,
    nullif(concat_ws('/', skill, slot), '') as rule,
    subset,
    x,
    y,
    distance
from placed
join contexts using (context_id)
left join subsets using (doc_id)
where study = $study
order by doc_id, pos
