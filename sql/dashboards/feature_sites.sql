-- question: Of which sites are features known, how many, and how many of them have a label?
-- grain: one row per site, in forward order
-- columns: site; features; alive: those that were active on some token; labelled: those with a label
select
    site,
    count(*) as features,
    count(*) filter (where max_activation > 0) as alive,
    count(label) as labelled
from features
where study = $study
group by site
order by site_place(site)
