-- question: How well does the model predict each subset of the corpus?
-- grain: one row per (study, pile_set_name), hardest first
-- columns: documents and tokens predicted; mean_loss and mean_entropy in nats; bits_per_char;
--   top_share: tokens that were the model's first choice
with document_losses as (
    select study, doc_id, count(*) as tokens, sum(loss) as loss, sum(entropy) as entropy,
        count(*) filter (where rank = 0) as top
    from losses
    group by study, doc_id
)
select
    study,
    pile_set_name,
    count(*) as documents,
    sum(tokens)::bigint as tokens,
    round(sum(loss) / sum(tokens), 9) as mean_loss,
    round(sum(entropy) / sum(tokens), 9) as mean_entropy,
    round(sum(loss) / ln(2) / sum(n_chars), 9) as bits_per_char,
    sum(top) / sum(tokens) as top_share
from document_losses
join documents using (study, doc_id)
group by study, pile_set_name
order by study, mean_loss desc, pile_set_name
