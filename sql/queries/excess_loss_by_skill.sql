-- question: How far is the model from the best possible loss on each known rule of the corpus?
-- grain: one row per (study, skill), farthest first
-- columns: tokens; pieces (those whose surprisal is known); mean_loss in nats a token;
--   surprisal and excess in nats a piece: its tokens' losses less its surprisal
with pieces as (
    select study, doc_id, piece, skill, sum(loss) as loss, sum(surprisal) as surprisal,
        count(*) as tokens
    from losses
    where surprisal is not null
    group by study, doc_id, piece, skill
)
select
    study,
    skill,
    sum(tokens)::bigint as tokens,
    count(*) as pieces,
    sum(loss) / sum(tokens) as mean_loss,
    avg(surprisal) as surprisal,
    avg(loss - surprisal) as excess
from pieces
group by study, skill
order by study, excess desc, skill
