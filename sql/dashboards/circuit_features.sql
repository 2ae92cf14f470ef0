-- question: Which features are nodes of some circuit?
-- grain: one row per (site, feature)
-- columns: circuits: how many have it
select site, feature, count(distinct circuit) as circuits
from circuit_nodes
where study = $study and feature >= 0
group by site, feature
order by site_place(site), feature
