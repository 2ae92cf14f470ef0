-- question: Which nodes carry a circuit?
-- grain: one row per (study, circuit, site, pos, feature): the 50 of largest |effect|
-- columns: place; effect (positive supports the clean answer) in the metric's unit; share of the
--   circuit's Σ|effect|; patch_only; label
with ranked as (
    select *, abs(effect) / sum(abs(effect)) over (partition by study, circuit) as share,
        row_number() over (
            partition by study, circuit order by abs(effect) desc, site, pos, feature
        ) as place
    from circuit_nodes
)
select study, circuit, place, site, pos, feature, effect, share, patch_only, label
from ranked
left join features using (study, site, feature)
where place <= 50
order by study, circuit, place
