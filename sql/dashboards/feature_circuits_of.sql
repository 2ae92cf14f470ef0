-- question: In which circuits is a feature a node, where it counts most first?
-- grain: one row per (circuit, pos): $most at most
-- columns: as in feature_circuits
select circuit, task, pos, effect, share, place, edges_in, edges_out
from feature_circuits(study := $study, site := $site, feature := $feature)
order by share desc, circuit, pos
limit $most
