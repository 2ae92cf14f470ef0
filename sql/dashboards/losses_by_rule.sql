-- question: How are the losses of tokens behind which a rule is known distributed, by rule?
-- grain: one row per (name, bin)
-- columns: name: skill/slot, or skill without a slot; the others as in losses_by_subset
select
    concat_ws('/', skill, slot) as name,
    (100 * sqrt(sqrt(abs(loss))))::usmallint as bin,
    count(*) as tokens,
    sum(loss) as loss,
    sum(entropy) as entropy,
    sum(surprisal) as surprisal,
    count(surprisal) as known,
    sum(loss - surprisal) as excess,
    count(*) filter (where rank = 0) as top
from losses
where study = $study and skill is not null
group by skill, slot, bin
order by name, bin
