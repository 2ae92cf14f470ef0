-- question: Which features does a probe of professions read, and which of them stand for gender?
-- parameters:
--   places bigint = 10: how many of largest effect on each probe, besides all that were chosen
-- grain: one row per (study, probe, site, feature), the largest effect first
-- columns: place: from 1; effect on the probe's logit (positive: towards a profession mostly of
--   women) and abs_effect; gender_correlation of its mean activation among people of one
--   profession; by_hand: chosen by a person, and why; by_rule: chosen by a rule that has gender
--   labels; label: what it stands for, where it has one; known: features of the probe that the
--   table shift_features has
select
    study,
    probe,
    rank + 1 as place,
    site,
    feature,
    effect,
    abs_effect,
    gender_correlation,
    by_hand,
    by_rule,
    why,
    label,
    count(*) over (partition by study, probe) as known
from shift_features
left join features using (study, site, feature)
qualify by_hand or by_rule or place <= $places
order by study, probe, place
