-- question: How much easier are tokens whose trigram or bigram occurred earlier in the document?
-- grain: one row per (study, trigram_seen, bigram_seen)
-- columns: tokens and share of the study's tokens; mean_loss in nats; easy_share: loss under 0.1
select
    study,
    trigram_seen,
    bigram_seen,
    count(*) as tokens,
    count(*) / sum(count(*)) over (partition by study) as share,
    round(avg(loss), 9) as mean_loss,
    count(*) filter (where loss < 0.1) / count(*) as easy_share
from losses
group by study, trigram_seen, bigram_seen
order by study, trigram_seen, bigram_seen
