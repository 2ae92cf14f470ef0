-- question: How much of what predicts an answer lies outside its context window?
-- grain: one row per study
-- columns: contexts; mean_loss in the document and mean_context_loss in the window, nats;
--   lost_share: contexts whose loss grows by more than 0.5 nats in the window
select
    study,
    count(*) as contexts,
    avg(loss) as mean_loss,
    avg(context_loss) as mean_context_loss,
    count(*) filter (where context_loss - loss > 0.5) / count(*) as lost_share
from contexts
group by study
order by study
