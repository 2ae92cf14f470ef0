-- question: Which tokens stand before the answers of some contexts?
-- grain: one row per context of $contexts
-- columns: context_id; tokens: up to $width before the answer, and the answer last
with wanted as (
    select context_id, doc_id, pos as answer_pos
    from contexts
    where study = $study and context_id in (select unnest($contexts))
)
select context_id, list(token order by pos) as tokens
from tokens
join wanted using (doc_id)
where study = $study and list_contains($shards, shard)
    and pos between answer_pos - $width and answer_pos
group by context_id
order by context_id
