-- question: Which documents does the model predict worst, best, or come first?
-- grain: one row per doc_id: the 200 that come first in the order asked for (first, hardest,
--   easiest), of one subset or, with an empty $subset, of all
-- columns: subset; tokens predicted; mean_loss in nats; excess: loss less surprisal in nats a token
--   where it is known; opening: the first 160 characters; found: documents in all
with chosen as (
    select doc_id, pile_set_name
    from documents
    where study = $study and ($subset = '' or pile_set_name = $subset)
),
document_losses as (
    select
        doc_id,
        any_value(pile_set_name) as subset,
        count(*) as tokens,
        avg(loss) as mean_loss,
        avg(loss - surprisal) as excess
    from losses
    join chosen using (doc_id)
    where study = $study
    group by doc_id
),
listed as (
    select *, count(*) over () as found
    from document_losses
    order by
        case $order when 'hardest' then -mean_loss when 'easiest' then mean_loss else 0 end,
        doc_id
    limit 200
)
select doc_id, subset, tokens, mean_loss, excess, left(text, 160) as opening, found
from listed
join documents using (doc_id)
where study = $study
order by
    case $order when 'hardest' then -mean_loss when 'easiest' then mean_loss else 0 end,
    doc_id
