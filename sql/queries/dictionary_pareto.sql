-- question: Which dictionaries of a sweep explain most for the features that they take?
-- grain: one row per (study, site, point); site `all`: the mean over the sites
-- columns: form; expansion; k; n_features; l0 (features a token); fve; loss_increase in nats;
--   loss_recovered; dead_fraction: the largest of the sites; on_front: no other point of the site
--   takes as few features and raises the loss as little, one of the two by less
with measured as (
    select
        study,
        coalesce(site, 'all') as site,
        point,
        any_value(form) as form,
        any_value(expansion) as expansion,
        any_value(k) as k,
        any_value(n_features) as n_features,
        round(avg(l0), 9) as l0,
        round(avg(fve), 9) as fve,
        round(avg(loss_increase), 9) as loss_increase,
        round(avg(loss_recovered), 9) as loss_recovered,
        max(dead_fraction) as dead_fraction
    from dictionary_sweep
    group by grouping sets ((study, site, point), (study, point))
)

select
    *,
    not exists (
        from measured as better
        where
            better.study = measured.study
            and better.site = measured.site
            and better.l0 <= measured.l0
            and better.loss_increase <= measured.loss_increase
            and (better.l0 < measured.l0 or better.loss_increase < measured.loss_increase)
    ) as on_front
from measured
order by study, site <> 'all', coalesce(site_place(nullif(site, 'all')), -1), l0, point
