-- question: What is a document?
-- grain: one row, or none
-- columns: subset; n_chars; duplicate_of; tokens
select
    pile_set_name as subset,
    n_chars,
    duplicate_of,
    (
        select count(*)
        from tokens
        where study = $study and shard = $shard and doc_id = $doc_id
    ) as tokens
from documents
where study = $study and shard = $shard and doc_id = $doc_id
