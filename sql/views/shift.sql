-- what: A probe of an edited model, measured on biographies in which profession and gender are
--   independent.
-- grain: one row per (study, probe, edit, seed, retrained)
-- columns:
--   study: Study
--   probe: Probe of biographies: is the profession one mostly of women?
--   edit: What was ablated: none; by_hand: features chosen by a person; by_rule: by gender labels;
--     random features; neurons; or oracle: nothing, a probe trained on a balanced set
--   seed: Of random features; null otherwise
--   retrained: Trained again, on the edited model's ambiguous set
--   site: Where the probe reads, mean over tokens
--   ablation: What ablated nodes hold: mean or zero
--   n_nodes: Nodes ablated
--   n_train: Biographies it was trained on
--   n_test: Biographies it was measured on
--   accuracy: Share of biographies whose profession's half it tells
--   accuracy_low: Lower end of the 90 % Wilson interval
--   accuracy_high: Upper end of the 90 % Wilson interval
--   leakage: Share in which it says what gender would; 0.5 is chance
--   leakage_low: Lower end of the 90 % Wilson interval
--   leakage_high: Upper end of the 90 % Wilson interval
--   worst_group: The least of the four accuracies that follow
--   women_usual: Accuracy on women in professions mostly of women
--   women_unusual: Accuracy on women in the other professions
--   men_usual: Accuracy on men in professions mostly of men
--   men_unusual: Accuracy on men in the other professions
select
    shift.study,
    shift.probe,
    shift.edit,
    shift.seed,
    shift.retrained,
    shift.site,
    shift.ablation,
    shift.n_nodes,
    shift.n_train,
    shift.n_test,
    shift.accuracy,
    shift.accuracy_low,
    shift.accuracy_high,
    shift.leakage,
    shift.leakage_low,
    shift.leakage_high,
    shift.worst_group,
    shift.women_usual,
    shift.women_unusual,
    shift.men_usual,
    shift.men_unusual
from stored.shift
