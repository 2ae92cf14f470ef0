-- question: What are the subsets of the corpus?
-- grain: one row per subset
-- columns: documents of it
select pile_set_name as subset, count(*) as documents
from documents
where study = $study
group by subset
order by subset
