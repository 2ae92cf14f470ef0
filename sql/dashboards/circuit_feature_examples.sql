-- question: In which texts is a feature most active?
-- grain: one row per example, the strongest first; $most of them at most
-- columns: doc_id, pos and activation of the example; first: position of the window's first token;
--   tokens: the window, twelve tokens before it to four after
with shown as (
    select rank, doc_id, pos, activation
    from feature_examples
    where study = $study and site = $site and feature = $feature and rank < $most
)
select
    rank,
    shown.doc_id,
    shown.pos,
    activation,
    min(tokens.pos) as first,
    list(token order by tokens.pos) as tokens
from shown
join tokens
    on tokens.study = $study
        and tokens.doc_id = shown.doc_id
        and tokens.pos + 12 >= shown.pos
        and tokens.pos <= shown.pos + 4
group by rank, shown.doc_id, shown.pos, activation
order by rank
