-- question: Which edits take gender from what a probe of professions reads, and what do they cost?
-- grain: one row per (study, probe, edit, retrained), the model as it is first
-- columns: draws: averaged over, of random features; n_nodes ablated; accuracy on biographies in
--   which gender tells nothing, and gain: over the model as it is; leakage: share in which the probe
--   says what gender would, and off_chance: its distance from 0.5; worst_group: the least accuracy
--   of the four subgroups women_usual, women_unusual, men_usual, men_unusual; of accuracy and
--   leakage the 90 % Wilson intervals _low to _high, of draws the outermost
with averaged as (
    select
        study,
        probe,
        edit,
        retrained,
        count(*) as draws,
        any_value(n_nodes) as n_nodes,
        avg(accuracy) as accuracy,
        min(accuracy_low) as accuracy_low,
        max(accuracy_high) as accuracy_high,
        avg(leakage) as leakage,
        min(leakage_low) as leakage_low,
        max(leakage_high) as leakage_high,
        avg(worst_group) as worst_group,
        avg(women_usual) as women_usual,
        avg(women_unusual) as women_unusual,
        avg(men_usual) as men_usual,
        avg(men_unusual) as men_unusual
    from shift
    group by study, probe, edit, retrained
)
select
    *,
    accuracy - max(accuracy) filter (where edit = 'none') over (partition by study, probe) as gain,
    abs(leakage - 0.5) as off_chance
from averaged
order by study, probe, list_position(
    ['none', 'by_hand', 'by_rule', 'random', 'neurons', 'oracle'], edit
), retrained
