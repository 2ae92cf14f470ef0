-- question: How are losses distributed where the trigram or bigram occurred earlier in the document?
-- grain: one row per (name, bin)
-- columns: name: of three kinds of tokens; the others as in losses_by_subset, but for surprisal and
--   excess, which belong to pieces of several tokens: none is known here
with flagged as (
    select
        trigram_seen,
        bigram_seen,
        (100 * sqrt(sqrt(abs(loss))))::usmallint as bin,
        count(*) as tokens,
        sum(loss) as loss,
        sum(entropy) as entropy,
        count(*) filter (where rank = 0) as top
    from losses
    where study = $study
    group by trigram_seen, bigram_seen, bin
)
select
    case
        when trigram_seen then 'trigram seen before'
        when bigram_seen then 'only bigram seen before'
        else 'neither seen before'
    end as name,
    bin,
    sum(tokens)::bigint as tokens,
    sum(loss) as loss,
    sum(entropy) as entropy,
    null::double as surprisal,
    0::bigint as known,
    null::double as excess,
    sum(top)::bigint as top
from flagged
group by name, bin
order by name, bin
