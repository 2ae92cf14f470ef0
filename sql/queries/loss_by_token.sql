-- question: Which tokens of the vocabulary does the model predict worst, or best?
-- parameters:
--   easiest boolean = false: those that it predicts best
--   at_least bigint = 20: how often a token must have been predicted
--   places bigint = 50: how many tokens of each study
-- grain: one row per (study, token_id), of largest mean loss first, or of smallest
-- columns: token; predictions: how often it had to be predicted; mean_loss in nats; share of the
--   study's loss; top_share: predictions in which it was the model's first choice
with vocabulary as (
    select study, token_id, any_value(token) as token
    from tokens
    group by study, token_id
),
token_losses as (
    select study, token_id, count(*) as predictions, avg(loss) as mean_loss,
        sum(loss) / sum(sum(loss)) over (partition by study) as share,
        count(*) filter (where rank = 0) / count(*) as top_share
    from losses
    group by study, token_id
),
ranked as (
    select *, row_number() over (
        partition by study order by if($easiest, mean_loss, -mean_loss), token_id
    ) as place
    from token_losses
    where predictions >= $at_least
)
select
    study,
    token_id,
    token,
    predictions,
    round(mean_loss, 9) as mean_loss,
    round(share, 9) as share,
    top_share
from ranked
join vocabulary using (study, token_id)
where place <= $places
order by study, place
