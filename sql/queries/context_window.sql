-- question: How much of what predicts an answer lies outside its context window?
-- grain: one row per study
-- columns: contexts; mean_loss in the document and mean_context_loss in the window, nats;
--   lost_share: contexts whose loss grows by more than 0.5 nats in the window
select
    study,
    count(*) as contexts,
    round(avg(loss), 9) as mean_loss,
    round(avg(context_loss), 9) as mean_context_loss,
    count(*) filter (where context_loss - loss > 0.5) / count(*) as lost_share
from contexts
group by study
order by study
