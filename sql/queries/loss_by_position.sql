-- question: How does the loss fall with the position in the document?
-- grain: one row per (study, pos)
-- columns: tokens predicted at this position; mean_loss, median_loss and mean_entropy in nats
select
    study,
    pos,
    count(*) as tokens,
    round(avg(loss), 9) as mean_loss,
    median(loss) as median_loss,
    round(avg(entropy), 9) as mean_entropy
from losses
group by study, pos
order by study, pos
