-- question: What stands around some tokens?
-- grain: one row per (doc_id, pos) asked for, of $doc_ids and $places in step, in documents of $shards
-- columns: first: position of the first token of the window, $before before the place; tokens: the
--   window, up to $after after it
with asked as (
    select unnest($doc_ids::bigint[]) as doc_id, unnest($places::integer[]) as place
)
select
    asked.doc_id,
    place as pos,
    min(tokens.pos) as first,
    list(token order by tokens.pos) as tokens
from tokens
join asked
    on tokens.doc_id = asked.doc_id
        and tokens.pos >= place - $before
        and tokens.pos <= place + $after
where study = $study and list_contains($shards::varchar[], shard)
group by asked.doc_id, place
order by asked.doc_id, place
