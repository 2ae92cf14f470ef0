-- question: How are the losses of each subset of the corpus distributed?
-- grain: one row per (name, bin)
-- columns: name: the subset; bin: 100 times the fourth root of the loss, rounded (which keeps losses
--   of 0.0001 and of 10 nats apart from their like, and is quick to compute); tokens in it; sums in
--   nats of loss, entropy, surprisal where it is known, and excess (loss less surprisal); known:
--   tokens of known surprisal; top: tokens that were the top choice
with subsets as (
    select doc_id, pile_set_name
    from documents
    where study = $study
)
select
    pile_set_name as name,
    (100 * sqrt(sqrt(abs(loss))))::usmallint as bin,
    count(*) as tokens,
    sum(loss) as loss,
    sum(entropy) as entropy,
    sum(surprisal) as surprisal,
    count(surprisal) as known,
    sum(loss - surprisal) as excess,
    count(*) filter (where rank = 0) as top
from losses
join subsets using (doc_id)
where study = $study
group by name, bin
order by name, bin
