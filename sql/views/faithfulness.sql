-- what: An ablation of all but some nodes, evaluated on a split.
-- grain: one row per (study, task, method, aggregation, split, unit, seed, selection, value,
--   ablation, errors, start_layer)
-- columns:
--   study: Study
--   task: Task
--   method: ig or attrib
--   aggregation: sum: over positions; none: per position
--   split: Examples it is evaluated on: test or train
--   unit: feature, neuron or random
--   seed: Of a random circuit; null otherwise
--   selection: top_n: by |effect|; threshold: |effect| above the value
--   value: Nodes asked for (for all: their number), or the threshold
--   ablation: What replaces the others: mean, resample or zero
--   errors: Error nodes: default (by the circuit), keep or remove
--   start_layer: First layer whose sites are edited; −1 includes embed
--   n_nodes: Nodes kept, error nodes included
--   n_error_nodes: Error nodes kept
--   accuracy: Examples on which the model prefers the clean answer to the patch's; null without a
--     patch
--   f_model: F of the model, mean over examples [metric]
--   f_circuit: F with only the circuit [metric]
--   f_empty: F with every node ablated [metric]
--   f_complement: F without the circuit; may be null [metric]
--   faithfulness: (F(C) − F(∅)) / (F(M) − F(∅)); null: too small a divisor
--   completeness: The same of the complement; 0 is complete; may be null
--   low: 5 % of the bootstrap of faithfulness; may be null
--   high: 95 % of the bootstrap of faithfulness; may be null
--   completeness_low: 5 % of the bootstrap of completeness; may be null
--   completeness_high: 95 % of the bootstrap of completeness; may be null
select
    faithfulness.study,
    faithfulness.task,
    faithfulness.method,
    faithfulness.aggregation,
    faithfulness.split,
    faithfulness.unit,
    faithfulness.seed,
    faithfulness.selection,
    faithfulness.value,
    faithfulness.ablation,
    faithfulness.errors,
    faithfulness.start_layer,
    faithfulness.n_nodes,
    faithfulness.n_error_nodes,
    faithfulness.accuracy,
    faithfulness.f_model,
    faithfulness.f_circuit,
    faithfulness.f_empty,
    faithfulness.f_complement,
    faithfulness.faithfulness,
    faithfulness.completeness,
    faithfulness.low,
    faithfulness.high,
    faithfulness.completeness_low,
    faithfulness.completeness_high
from stored.faithfulness
