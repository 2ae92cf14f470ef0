-- question: Which tokens of the vocabulary does the model predict worst, best, or at the largest cost?
-- grain: one row per token_id: the 500 that come first in the order asked for (hardest, easiest,
--   costliest), of those predicted at least $least times
-- columns: token: its text; predictions: how often it had to be predicted; mean_loss and mean_entropy
--   in nats; cost: its share of all loss; top_share: predictions in which it was the top choice;
--   found: tokens in all
with token_losses as (
    select
        token_id,
        count(*) as predictions,
        avg(loss) as mean_loss,
        avg(entropy) as mean_entropy,
        sum(loss) / sum(sum(loss)) over () as cost,
        count(*) filter (where rank = 0) / count(*) as top_share
    from losses
    where study = $study
    group by token_id
),
chosen as (
    select *, count(*) over () as found
    from token_losses
    where predictions >= $least
    order by
        case $order when 'hardest' then -mean_loss when 'easiest' then mean_loss else -cost end,
        token_id
    limit 500
),
texts as (
    select token_id, any_value(token) as token
    from tokens
    where study = $study and token_id in (select token_id from chosen)
    group by token_id
)
select token_id, token, predictions, mean_loss, mean_entropy, cost, top_share, found
from chosen
left join texts using (token_id)
order by
    case $order when 'hardest' then -mean_loss when 'easiest' then mean_loss else -cost end,
    token_id
