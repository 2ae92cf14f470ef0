-- what: Text of a token with the n tokens before it, as far as the document has them; null where
--   there is none
-- parameters:
--   study varchar: the study
--   doc_id bigint: the document
--   pos bigint: position of the token in the document
--   n bigint = 10: how many tokens before it
(
    select string_agg(near.token, '' order by near.p)
    from (
        select t.study as of_study, t.shard as of_shard, t.doc_id as of_doc, t.pos as p, t.token
        from tokens as t
    ) as near
    where near.of_study = $study
        and near.of_shard = shard_of($doc_id)
        and near.of_doc = $doc_id
        and near.p between $pos - $n and $pos
)
