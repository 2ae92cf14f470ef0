-- question: How much of each subset of the corpus is repeated text?
-- grain: one row per (study, pile_set_name)
-- columns: documents; duplicates: those whose text came earlier; share; repeated_chars
with marked as (
    select
        study,
        pile_set_name,
        n_chars,
        doc_id > min(doc_id) over (partition by study, content_hash) as repeated
    from documents
)

select
    study,
    pile_set_name,
    count(*) as documents,
    count(*) filter (where repeated) as duplicates,
    count(*) filter (where repeated) / count(*) as share,
    coalesce(sum(n_chars) filter (where repeated), 0)::bigint as repeated_chars
from marked
group by study, pile_set_name
order by study, share desc, pile_set_name
