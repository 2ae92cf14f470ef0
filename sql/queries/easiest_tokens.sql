-- question: Which tokens of the vocabulary does the model predict best?
-- grain: one row per (study, token_id): the 50 of smallest mean loss among those predicted 20 times
-- columns: token; predictions: how often it had to be predicted; mean_loss in nats;
--   top_share: predictions in which it was the model's first choice
with vocabulary as (
    select study, token_id, any_value(token) as token
    from tokens
    group by study, token_id
),
token_losses as (
    select study, token_id, count(*) as predictions, avg(loss) as mean_loss,
        count(*) filter (where rank = 0) / count(*) as top_share
    from losses
    group by study, token_id
    having count(*) >= 20
)
select study, token_id, token, predictions, mean_loss, top_share
from token_losses
join vocabulary using (study, token_id)
qualify row_number() over (partition by study order by mean_loss asc, token_id) <= 50
order by study, mean_loss asc, token_id
