-- question: How much of each subset of the corpus is repeated text?
-- grain: one row per (study, pile_set_name)
-- columns: documents; duplicates: those whose text came earlier; share; repeated_chars
select
    study,
    pile_set_name,
    count(*) as documents,
    count(duplicate_of) as duplicates,
    count(duplicate_of) / count(*) as share,
    coalesce(sum(n_chars) filter (where duplicate_of is not null), 0)::bigint as repeated_chars
from documents
group by study, pile_set_name
order by study, share desc, pile_set_name
