-- question: What is a circuit a circuit of?
-- grain: one row per (study, circuit, split, example), those that it was found on (train) first; of
--   one circuit: where circuit = 'rc.ig.none'
-- columns: task; case; clean_prefix with clean_answer, and patch_prefix with patch_answer (null
--   without a patch: effects are then those of taking nodes away); metric: m of the example, which
--   a node that supports the clean answer keeps low
select
    study,
    circuit,
    task,
    split,
    example,
    "case",
    clean_prefix,
    clean_answer,
    patch_prefix,
    patch_answer,
    if(
        patch_answer is null,
        format('−log p or −logit of ''{}''', clean_answer),
        format('logit of ''{}'' − logit of ''{}''', patch_answer, clean_answer)
    ) as metric
from circuits
join pairs using (study, task)
order by study, circuit, split desc, example
