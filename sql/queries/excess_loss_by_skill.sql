-- question: How far is the model from the best possible loss on each known rule of the corpus?
-- grain: one row per (study, skill, slot), farthest first
-- columns: pieces (those whose surprisal is known) and their tokens; all in nats a piece:
--   mean_loss, of its tokens together; mean_surprisal under the rule; excess: their difference
with pieces as (
    select study, doc_id, piece, skill, slot, sum(loss) as loss, sum(surprisal) as surprisal,
        count(*) as tokens
    from losses
    where skill is not null and surprisal is not null
    group by study, doc_id, piece, skill, slot
)
select
    study,
    skill,
    slot,
    sum(tokens)::bigint as tokens,
    count(*) as pieces,
    round(avg(loss), 9) as mean_loss,
    round(avg(surprisal), 9) as mean_surprisal,
    round(avg(loss - surprisal), 9) as excess
from pieces
group by study, skill, slot
order by study, excess desc, skill, slot
