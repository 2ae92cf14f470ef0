-- question: What did each token of a document cost the model?
-- grain: one row per pos of the document, from $first on, at most $most
-- columns: token; loss, entropy and surprisal in nats; rank; skill and slot of the rule behind it;
--   trigram_seen: the trigram ending here occurred earlier in the document; all null where the
--   token was not predicted
with predicted as (
    select pos, loss, entropy, surprisal, rank, skill, slot, trigram_seen
    from losses
    where study = $study and shard = $shard and doc_id = $doc_id
)
select pos, token, loss, entropy, surprisal, rank, skill, slot, trigram_seen
from tokens
left join predicted using (pos)
where study = $study and shard = $shard and doc_id = $doc_id and pos >= $first
order by pos
limit $most
