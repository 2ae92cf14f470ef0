-- question: How do losses fall with the position in the document?
-- grain: one row per first_pos: up to 512 stretches of equally many positions
-- columns: first_pos and last_pos of the stretch; tokens predicted; mean_loss, low, median_loss and
--   high (25, 50 and 75 %) and mean_entropy in nats
with extent as (
    select greatest(1, ceil(max(pos) / 512))::integer as width
    from losses
    where study = $study
),
stretches as (
    select
        min(pos) as first_pos,
        max(pos) as last_pos,
        count(*) as tokens,
        avg(loss) as mean_loss,
        quantile_cont(loss, [0.25, 0.5, 0.75]) as quartiles,
        avg(entropy) as mean_entropy
    from losses, extent
    where study = $study
    group by pos // width
)
select
    first_pos,
    last_pos,
    tokens,
    mean_loss,
    quartiles[1] as low,
    quartiles[2] as median_loss,
    quartiles[3] as high,
    mean_entropy
from stretches
order by first_pos
