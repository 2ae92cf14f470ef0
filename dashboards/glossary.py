"""What the terms mean, in a sentence each: shown where a page uses one."""

from __future__ import annotations

TERMS = {
    "loss": "−log p of the token that came, given those before it; in nats. 0: it was certain.",
    "excess loss": "Loss beyond the surprisal of the rule behind the text: what the model has not "
    "learnt. 0 is perfect.",
    "surprisal": "−log p of a piece of text under the rule that made it, where the corpus knows "
    "it: the least loss that any model can reach. It stands on the piece's first token.",
    "entropy": "Entropy of the model's prediction, in nats: how open the next token seems to it.",
    "rank": "How many tokens the model held more likely than the one that came; 0: its top choice.",
    "top choice": "Share of predictions in which the token that came was the model's top choice.",
    "skill": "The rule behind a token, where the corpus knows it; slot: its place in the rule.",
    "subset": "Part of the corpus (pile_set_name).",
    "bits per character": "Loss of a text in bits, divided by its characters: comparable between "
    "tokenizers.",
    "site": "A place in the model where a vector is read: embed, and attn_i, mlp_i and resid_i of "
    "layer i; in some studies z_i, attention's values before their projection, and mid_i, the "
    "stream between attention and MLP.",
    "dictionary": "A sparse autoencoder of a site: it rebuilds the site's vector from few "
    "features.",
    "feature": "A direction of a site's dictionary that is on for some tokens.",
    "neuron": "A coordinate of a site's vector, taken as a node in place of a feature.",
    "random": "As many features of the dictionaries, drawn at random; the band spans the seeds.",
    "L0": "Mean number of features that are on at a token.",
    "explained": "1 − Σ‖x − x̂‖² / Σ‖x − mean‖²: share of the site's variance that the dictionary "
    "rebuilds (FVE).",
    "loss increase": "What the model's loss rises by, in nats, when the rebuilt vector takes the "
    "place of the true one.",
    "loss recovered": "1 − loss increase / loss increase under mean ablation of the site.",
    "dead": "Share of the features that were never on in the tokens measured.",
    "error node": "What a dictionary leaves out of its site's vector, taken as a node of its own.",
    "node": "A feature, an error node or a neuron: at a position, or summed over positions.",
    "accuracy": "Share of the examples on which the model prefers the clean answer to the patch's.",
    "faithfulness": "(F(C) − F(∅)) / (F(M) − F(∅)): how much of what the model does is left when "
    "all but the circuit's nodes are ablated. 1 is all of it.",
    "completeness": "The same of the complement: what is left when the circuit alone is ablated. "
    "0: nothing, the circuit is complete.",
    "ablation": "What replaces the nodes left out: their mean, the patch's value (resample) or 0.",
    "error nodes": "default: those of the circuit are kept; keep: all are; remove: none is.",
    "node threshold": "A node is in the circuit if its |effect| exceeds this.",
    "interestingness": "Share of the effects that features carry rather than error nodes, sites "
    "weighted by softmax(A)·A of their effects.",
    "ARI": "Adjusted Rand index of clusters and known rules: 1 is full agreement, 0 is chance.",
    "NMI": "Normalised mutual information of clusters and known rules: 1 is full agreement, 0 is "
    "none.",
    "purity": "Share of contexts whose rule is the commonest of their cluster.",
    "other seeds": "ARI with k-means from other seeds: 1 is that chance plays no part.",
    "halves": "ARI with clusterings of half of the contexts alone: 1 is that the others play no "
    "part.",
    "silhouette": "How much nearer a context is to its own cluster than to the next (cosine): 1 is "
    "far apart, 0 on the border, below 0 nearer to another.",
    "previous token": "ARI of a baseline: clusters are the tokens before the answers.",
    "answer token": "ARI of a baseline: clusters are the answer tokens.",
    "last position": "ARI of a baseline: clusters of the activations at the last position alone.",
    "part": "all contexts, or one of two halves: a representation is chosen on one and reported on "
    "the other.",
    "representation": "What a context's vector is made of: activations of the features, their "
    "effects on the answer, |effects|, or √|effects|; or the gradient of its loss over the "
    "parameters, projected.",
    "answer entropy": "Entropy of the answer token within the cluster, in nats; 0: always the "
    "same token.",
    "mean effect": "Mean of |effect| over the contexts, 0 where the feature is off.",
    "difference": "Mean |effect| in the cluster less that in the others: what sets it apart.",
    "cosine": "Cosine of the vectors that the clustering was made of: 1 is the same direction.",
    "context": "A predicted token with the tokens before it.",
    "clustering": "Contexts grouped by the features that predict their answers.",
    "cluster": "Contexts of a clustering that the same features predict.",
    "circuit": "Nodes whose effect on a task's answers passes a threshold, and the edges between.",
    "edge": "What a node does to another, or to the metric, in the metric's unit: direct, into a "
    "site that reads its own; or total, by all paths.",
    "effect": "Mean effect of the node on the metric over the examples; positive supports the "
    "clean answer.",
    "total effect": "Mean of m(patch) − m(clean) over the examples of a task with patches.",
    "feature share": "Σ|effects of features| / Σ|effects| of a circuit: the rest are error nodes.",
    "aggregation": "Per position: a node is a feature at a token of the prompt; summed: over all "
    "positions.",
    "patch only": "Share of examples in which the feature is on in the patch alone.",
    "density": "Share of the tokens on which the feature is on.",
    "share above": "Share of the bootstrap's resamples in which the value passes the threshold.",
    "raised": "Tokens whose logits the feature's own direction raises most; what later layers make "
    "of it is left out.",
    "loss effect": "What a feature's activation adds to the losses of all that follows in the "
    "document, to first order, in nats. Below 0: it makes what follows likelier. Where the model "
    "is certain it is near 0, whatever the feature does.",
    "nearest": "Features of the same dictionary whose directions have the largest cosine with it.",
    "co-active": "Features of the same dictionary that are on for the same tokens: where both "
    "are, as a share of where either is (Jaccard index), in a sample.",
    "interval": "An eighth of the range of the activations: texts drawn by chance from each show "
    "what the feature means where it is weak, too.",
    "profession accuracy": "Share of biographies of which the probe tells whether the profession "
    "is one mostly of women, where as many women as men have each.",
    "leakage": "Share of biographies of which the probe says what the person's gender would; 50 % "
    "is chance, 100 %: it reads nothing but gender.",
    "worst group": "The least accuracy of women and men in usual and unusual professions.",
    "effect on a probe": "Mean over biographies of Σ activation × gradient of the probe's logit; "
    "positive: towards a profession mostly of women.",
    "gender correlation": "Of the feature's mean activation over a biography with being a woman, "
    "among people of one profession.",
    "partition": "A shard, a task, a clustering or a point of a sweep: the unit that is "
    "materialized and replaced.",
}


def explains(term: str) -> str:
    """The sentence for a term. Raises KeyError, so that no page uses one that is not here."""
    return TERMS[term]
