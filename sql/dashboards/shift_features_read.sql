-- question: Which features does a probe read?
-- grain: one row per feature, the largest effect first
-- columns: those of shift_features; place: from 1; label: what it stands for, where it has one
select
    rank + 1 as place,
    site,
    feature,
    effect,
    abs_effect,
    gender_correlation,
    by_hand,
    by_rule,
    why,
    label
from shift_features
left join features using (study, site, feature)
where study = $study and probe = $probe
order by place
