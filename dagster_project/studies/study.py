"""Studies: one model, one set of dictionaries, one corpus, and the thresholds and tasks, in TOML.

The dataclasses are the schema: `read_study` checks a file against their annotations and reports
the file, the key, what was expected and what was found. The string under a field is its
documentation; relative paths are relative to the TOML file. What spans several keys is in `rules`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

from dagster_project.studies.clustering_lists import with_lists
from dagster_project.studies.parsing import Distinct, NonEmpty, Range, read_toml, to_dataclass
from dagster_project.studies.rules import check

Metric: TypeAlias = Literal["log_prob", "logit", "logit_minus_mean"]
Aggregation: TypeAlias = Literal["sum", "none"]
Ablation: TypeAlias = Literal["mean", "resample", "zero"]
ErrorMode: TypeAlias = Literal["default", "keep", "remove"]
Unit: TypeAlias = Literal["feature", "neuron", "random"]
EdgeKind: TypeAlias = Literal["direct", "total"]
Device: TypeAlias = Literal["auto", "cpu", "cuda", "mps", "spread"]
Dtype: TypeAlias = Literal["float32", "bfloat16", "float16", "float64"]
Form: TypeAlias = Literal["batch_topk", "topk", "jumprelu", "matryoshka"]

Count = Annotated[int, Range(1)]
Share = Annotated[float, Range(0.0, 1.0)]
NonNegative = Annotated[float, Range(0.0)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
EdgeKinds = Annotated[tuple[EdgeKind, ...], NonEmpty(), Distinct()]

SIZES = (0, 10, 20, 50, 100, 200, 300, 500, 1000)  # the usual faithfulness.sizes


@dataclass(frozen=True)
class ModelSpec:
    source: Annotated[str, NonEmpty()]
    """`embedded` (the small model that the package ships), a folder that holds a Hugging Face
    causal language model, or a hub id such as `EleutherAI/pythia-70m-deduped`. What starts with
    `.`, `/` or `~` is never a hub id."""
    revision: str = ""
    """Commit of the hub model, which must be given for a hub id. A commit's hash makes results
    reproducible: the data version holds the text given here, so what comes to a branch (`main`)
    later goes unseen, and old results count as fresh."""
    dtype: Dtype = "float32"
    """Weights and activations. float32: effects are differences of nearly equal numbers."""
    attention: Literal["auto", "eager", "sdpa"] = "auto"
    """How attention is computed: PyTorch's fused kernels, or a matrix over pairs of positions.
    auto: fused, unless that would leave out what the model does (the soft caps of Gemma 2)."""


@dataclass(frozen=True)
class CorpusSpec:
    files: tuple[str, ...] = ()
    """Globs of `*.jsonl`, `*.jsonl.zst` (the Pile's line format), `*.txt` or `*.parquet`."""
    embedded: bool = False
    """Generated documents whose rules are known, without end, instead of files."""
    seed: Seed = 0
    """Of the generated documents."""
    hub: str = ""
    """Hub data set, streamed, instead of files."""
    revision: str = ""
    """Commit of the hub data set, as model.revision."""
    split: str = "train"
    """Split of the hub data set."""
    text_field: Annotated[str, NonEmpty()] = "text"
    """Key or column that holds the document."""
    separator: str = "<|endoftext|>"
    """What ends a document in `*.txt` files. Empty: every line is a document."""
    rows_per_shard: Annotated[int, Range(1, 1_000_000)] = 10_000
    """Documents in a shard, the unit of work; 10,000 Pile documents are about 5M tokens."""
    max_shards: Annotated[int, Range(0)] = 0
    """Shards to register at most; 0: all. A hub stream and generated documents need a number."""
    max_malformed: Share = 0.01
    """Share of a shard's lines that may be malformed (they are skipped and counted)."""


@dataclass(frozen=True)
class TokensSpec:
    max_tokens: Annotated[int, Range(2, 65_536)] = 1024
    """Tokens kept of each document, BOS included; 1024 as in the original for Pythia. Positions
    are stored in 16 bits."""


@dataclass(frozen=True)
class ContextsSpec:
    n_ctx: Count = 64
    """Tokens before the answer token that make the context (fewer at a document's start)."""
    max_loss: NonNegative = 0.1
    """Largest loss of an answer token in its document: tokens that the model predicts well."""
    loss_unit: Literal["nats", "bits"] = "nats"
    """Of max_loss. The original counts in bits, of ln 2 = 0.693 nats."""
    skip_trigrams: bool = True
    """Leave out answers whose trigram (the two tokens before and the answer) occurred earlier:
    induction predicts them."""
    skip_bigrams: bool = False
    """Leave out answers whose bigram occurred earlier."""
    skip_repeated: bool = False
    """Leave out answers that occurred earlier at all: what is left is unique in what is read."""
    seen_in: Literal["document", "window"] = "document"
    """Where earlier is: from the document's start on, or among the n_ctx tokens before."""
    per_document: Annotated[int, Range(0)] = 1
    """Contexts of one document at most; 0: no limit."""
    stratify: Literal["", "subset", "answer", "skill", "rule"] = ""
    """Take at most per_stratum contexts of each subset of the corpus, of each answer token, or of
    each known skill or rule (skill and slot), so that the common do not crowd out the rare. With
    `skill` and `rule` only tokens that start a piece whose rule is known take part."""
    per_stratum: Annotated[int, Range(0)] = 0
    """Contexts of one stratum at most; with `stratify` alone, and then above 0."""
    every: Count = 1
    """Of the tokens that pass the filters, in document order, keep every k-th."""
    shards: Annotated[int, Range(0)] = 0
    """Shards, the first ones, that contexts are taken from. 0: all there are, so that a growing
    corpus makes the selection stale."""
    target: Count = 10_000
    """Contexts in all; a shortfall is reported, never filled."""
    seed: Seed = 0
    """Of the choice among the tokens of a document and among documents."""


@dataclass(frozen=True)
class ContextFeaturesSpec:
    metric: Metric = "log_prob"
    """m of the answer token whose gradient makes effects: log p, logit, or logit − mean logit."""
    aggregation: Literal["sum", "last"] = "sum"
    """`sum`: activations and effects summed over the context (sum of products); `last`: the
    last `last_k` positions, each stored."""
    last_k: Count = 8
    """Positions stored with aggregation `last`, counted back from the one that predicts."""
    also_last: bool = False
    """With aggregation `sum`: the last position's rows too, a baseline for clusterings."""
    skip_bos: bool = True
    """Leave the BOS position out: its features have large norms and no meaning."""


@dataclass(frozen=True)
class ContextGradientsSpec:
    error: Annotated[float, Range(0.01, 1.0)] = 0.05
    """Within which the cosine of 99 % of the pairs of contexts must lie of that of their gradients.
    A context takes 53/error² bytes: 21 kB for 0.05, four times as much for half of it."""
    seed: Seed = 0
    """Of the projection, and of the sample that it is measured on."""


@dataclass(frozen=True)
class ClusteringSpec:
    n_clusters: Annotated[int, Range(2)]
    """Clusters asked for; with `hdbscan` the dimensions of the embedding alone. A list, as in
    `[clusterings.effects] n_clusters = [100, 500]`, makes a clustering of each number, here
    `effects-100` and `effects-500`, of one embedding."""
    representation: Literal[
        "activations", "effects", "abs_effects", "root_effects", "gradients"
    ] = "root_effects"
    """What a context's vector holds for each feature: activation, effect, |effect|, or its square
    root, so that many small effects weigh as much as a few large ones: best of those that were
    compared on known rules. `gradients`: the vector is
    the gradient of the context's loss over the parameters instead, projected."""
    positions: Literal["all", "last"] = "all"
    """Whether a vector is of all positions that context_features keeps, or of the one that predicts
    alone, which it keeps with `also_last` or aggregation `last`."""
    similarity: Literal["cosine", "clipped", "angular", "abs"] = "cosine"
    """Cosine of the vectors; max(cosine, 0); 1 − arccos(cosine)/π; cosine of absolute values."""
    errors: bool = False
    """Error nodes as columns too; gradients have none."""
    unit_norm_per_site: bool = True
    """Scale each site's part of a vector to norm 1, so that no site outweighs the others.
    Gradients have none."""
    unit_rows: bool = True
    """Scale each context's place in the spectral embedding to norm 1 before k-means (Ng et al.
    2001), instead of by its degree alone as scikit-learn does."""
    embedded: Annotated[int, Range(0)] = 0
    """Eigenvectors computed, of which the first n_clusters are used, so that clusterings that
    differ in n_clusters alone share one embedding; 0: n_clusters, or the largest of a list."""
    assign: Literal["kmeans", "cluster_qr", "hdbscan"] = "kmeans"
    """What groups the embedding's rows: k-means; a pivoted QR, which needs no start and finds what
    is clearly apart; or HDBSCAN, which finds how many groups there are and leaves contexts out."""
    min_cluster_size: Annotated[int, Range(2)] = 5
    """Contexts of a cluster at least, with `hdbscan`."""
    svd_cut: Share = 0.0
    """Keep the singular directions that explain this share of ‖X‖²; 0: no SVD."""
    max_contexts: Annotated[int, Range(0)] = 0
    """Cluster a seeded sample of this size; 0: all contexts."""
    part: Literal["all", "choose", "report"] = "all"
    """All contexts, or one of two disjoint seeded halves, so that a representation is chosen on
    one and reported on the other. A list makes a clustering of each part, as of n_clusters."""
    seed: Seed = 0
    """Of the sample, of k-means and of the map."""


@dataclass(frozen=True)
class TrainingSpec:
    form: Form = "batch_topk"
    """How features come to be few. `batch_topk`: the k strongest a token of a whole batch;
    `topk`: of each token; `jumprelu`: those above thresholds that are learnt so that they are k;
    `matryoshka`: batch_topk whose first features must also do alone, at every site."""
    expansion: Count = 8
    """Features per model dimension."""
    k: Count = 16
    """Features kept per token; with `topk` of each token, else on average."""
    tokens: Count = 1_000_000
    """Tokens trained on for each site (the corpus is repeated when shorter)."""
    batch: Count = 256
    """Tokens in a step: for the same tokens, more steps do better than larger ones."""
    learning_rate: Annotated[float, Range(1e-8, 1.0)] = 8e-3
    """Adam's for 512 features; goes with 1/√features."""
    warm_up: Share = 0.05
    """Share of the steps over which the learning rate rises from 0, linearly."""
    decay: Share = 0.2
    """Share of the steps, the last ones, over which it falls to 0, linearly."""
    sparsity_warm_up: Share = 0.0
    """Share of the steps over which features become few: k falls from four times its value, with
    `jumprelu` the weight of the penalty rises from 0."""
    dead_after: Count = 50_000
    """Tokens without firing after which a feature counts as dead and gets the auxiliary loss."""
    aux_coefficient: NonNegative = 1 / 32
    """Weight of the auxiliary loss that revives dead features (Gao et al. 2024)."""
    nested: Annotated[tuple[Count, ...], Distinct()] = ()
    """Numbers of features: the first so many must also explain the activation by themselves, so
    that they learn what activations share (Matryoshka dictionaries; Bussmann et al. 2025). With
    `matryoshka`, empty: 1/32, 3/32, 7/32 and 15/32 of the features, as theirs."""
    nested_coefficients: dict[str, NonNegative] = field(default_factory=dict)
    """Site -> weight of what each of these parts leaves unexplained; other sites have none. It is
    for sites that depend on little but the token, where a dictionary wider than the vocabulary has
    features for single tokens and none for what tokens share. Not with `matryoshka`, where each
    part weighs as much as the whole at every site."""
    bfloat16: bool = False
    """On a GPU, products of matrices in bfloat16; weights, Adam's moments and sums stay float32."""
    seed: Seed = 0
    """Of the weights and of the order of tokens."""


@dataclass(frozen=True)
class PartSpec:
    source: str = ""
    """As dictionaries.source. Empty: that one, with its revision."""
    revision: str = ""
    """Commit of the hub repository, as model.revision."""
    path: str = ""
    """Folder of a site's dictionary within the source, `{layer}` standing for the site's layer and
    `*` for anything without a `/`: `layer_{layer}/width_16k/average_l0_*`. Exactly one folder must
    match. Empty: by the site's name in each form (README)."""
    nearest_l0: Annotated[int, Range(0)] | None = None
    """Of several folders that match, take the one whose name ends in the number nearest to this."""
    scale: Annotated[float, Range(1e-12)] | None = None
    """What activations are multiplied by before encoding, where the file leaves that to its reader
    (SAELens with `normalize_activations` = `expected_average_only_in`). None: nothing."""
    centred: bool = False
    """Whether the dictionary was trained on activations less the mean of their numbers, as
    TransformerLens makes them (`center_writing_weights`) and older SAELens files do not say."""


@dataclass(frozen=True)
class DictionariesSpec:
    source: Annotated[str, NonEmpty()] = "train"
    """`train`, `identity` (neurons), `embedded` (those that the package ships for its model),
    `none` (those of `parts` alone), a folder or zip file of dictionaries in any of the forms in the
    README, or a hub id of such a folder, with `/<file>.zip` after it for a zip file in the
    repository. What starts with `.`, `/` or `~` is never a hub id."""
    revision: str = ""
    """Commit of the hub repository, as model.revision."""
    parts: dict[str, PartSpec] = field(default_factory=dict)
    """Kind of site (`embed`, `attn`, `mlp`, `resid`, …) or site (`resid_3`, which goes first) ->
    where its dictionaries come from instead."""
    missing: Literal["error", "leave_out", "identity"] = "error"
    """What a site without a dictionary is: an error, no site of the study, or neurons."""
    sites: Annotated[tuple[str, ...], Distinct()] = ()
    """Sites that take part. Empty: `embed` and every `attn_i`, `mlp_i`, `resid_i`. There are also
    `mid_i`, the stream between attention and MLP of a sequential model, and `z_i`, what attention's
    output projection reads."""
    shards: Annotated[int, Range(0)] = 0
    """Shards, the first ones, that dictionaries are trained and measured on. 0: all there are,
    so that a growing corpus makes them stale."""
    held_out_tokens: Count = 100_000
    """Tokens, the corpus's last, on which quality is measured; never trained on."""
    train: TrainingSpec = TrainingSpec()
    """How dictionaries are trained where source is `train`."""

    def part(self, site: str) -> PartSpec:
        """Where a site's dictionary comes from, with a source."""
        found = self.parts.get(site) or self.parts.get(site.partition("_")[0]) or PartSpec()
        if found.source:
            return found
        return replace(found, source=self.source, revision=self.revision)

    def sources(self) -> list[tuple[str, PartSpec]]:
        """Key in the study and part, its own source first."""
        own = PartSpec(source=self.source, revision=self.revision)
        named = {f"parts.{key}": part for key, part in self.parts.items() if part.source}
        return [("", own), *named.items()]


@dataclass(frozen=True)
class DictionarySweepSpec:
    forms: Annotated[tuple[Form, ...], NonEmpty(), Distinct()] = get_args(Form)
    """As dictionaries.train.form."""
    expansions: Annotated[tuple[Count, ...], NonEmpty(), Distinct()] = (8,)
    """Features per model dimension."""
    ks: Annotated[tuple[Count, ...], NonEmpty(), Distinct()] = (4, 8, 16, 32)
    """Features kept per token."""


@dataclass(frozen=True)
class FeaturesSpec:
    tokens: Count = 1_000_000
    """Tokens on which features are described: the first documents, as many as reach so many. A
    feature of density 1e-5 has ten examples in a million."""
    shards: Annotated[int, Range(0)] = 0
    """Shards, the first ones, that these tokens are taken from. 0: all there are, so that a growing
    corpus makes what is known of features stale."""
    top: Annotated[int, Range(1, 1000)] = 16
    """Examples of a feature where it is strongest."""
    per_interval: Annotated[int, Range(1, 1000)] = 4
    """Examples drawn from each of the 5 to 8 intervals of its activation, besides."""
    n_ctx: Annotated[int, Range(0, 1024)] = 16
    """Tokens before an example that make its context; of examples with the same context one is
    kept, the strongest."""


@dataclass(frozen=True)
class TaskSpec:
    train: str = ""
    """JSONL, CSV or Parquet of {clean_prefix, patch_prefix, clean_answer, patch_answer, case}:
    discovery. Without patch_prefix and patch_answer in any row, a task without a patch; so is the
    JSON of a cluster, {id: {context: [tokens], answer}}, as the dashboard offers it."""
    test: str = ""
    """The same for evaluation. Empty: a seeded `test_share` of the pairs is held out."""
    templates: Annotated[tuple[str, ...], Distinct()] = ()
    """Instead of files: prompts with one `{}`, filled from `fills`."""
    fills: Annotated[tuple[tuple[str, ...], ...], Distinct()] = ()
    """[clean, patch] words for the templates; each is used in both directions."""
    answers: tuple[str, ...] = ()
    """[clean, patch] continuations of a prompt, leading space included: the first token counts."""
    embedded: str = ""
    """Instead of files and templates: a task of the generator (`rc`, `bracket`, …), with or
    without a patch; its test examples share frames with its train examples, but no word
    that fills them."""
    test_share: Share = 0.3
    """Share held out, by fill where templates are used, so that test words are unseen; above 0
    where no test file is given. Not read by generated tasks."""
    max_examples: Count = 100
    """Examples a split at most, a seeded choice."""
    aggregation: Aggregation = "sum"
    """Node and edge effects summed over positions, or per position (equal lengths)."""
    metric: Literal["log_prob", "logit"] = "log_prob"
    """m = −log p(answer) or −logit(answer), where examples have no patch."""
    node_threshold: NonNegative | None = None
    """Instead of circuits.node_threshold, in the unit of the metric."""
    edge_threshold: NonNegative | None = None
    """Instead of circuits.edge_threshold."""
    edge_kinds: EdgeKinds | None = None
    """Instead of circuits.edge_kinds."""
    total_threshold: NonNegative | None = None
    """Instead of circuits.total_threshold."""


@dataclass(frozen=True)
class ClusterTasksSpec:
    clustering: str = ""
    """Clustering whose clusters become no-pair tasks. Empty: none."""
    largest: Annotated[int, Range(0)] = 3
    """Clusters, by size, for which a run of the whole study computes circuits. The others stay
    partitions that can be materialized."""
    metric: Literal["log_prob", "logit"] = "log_prob"
    """m = −log p(answer) or −logit(answer)."""
    max_examples: Count = 64
    """Contexts of a cluster, a seeded choice, test split included."""
    test_share: Share = 0.3
    """Share of the contexts held out for evaluation; above 0."""
    node_threshold: NonNegative | None = None
    """Instead of circuits.node_threshold, in nats or logits."""
    edge_threshold: NonNegative | None = None
    """Instead of circuits.edge_threshold."""


@dataclass(frozen=True)
class NodeEffectsSpec:
    method: Literal["ig", "attrib"] = "ig"
    """Integrated gradients from the clean to the patched activation, or one gradient at clean."""
    steps: Count = 10
    """Steps of `ig`."""
    rule: Literal["midpoint", "left"] = "midpoint"
    """Where a step is evaluated; `left` is the original's rule."""
    skip_bos: bool = True
    """Leave the BOS position out of sums and circuits."""
    bootstrap: Annotated[int, Range(0)] = 200
    """Resamples of the examples for share_above, low and high; 0: none."""
    seed: Seed = 0
    """Of the bootstrap and of every choice of examples."""


@dataclass(frozen=True)
class CircuitsSpec:
    node_threshold: NonNegative = 0.1
    """A node is in the circuit if |aggregated effect| exceeds this, in logits."""
    edge_threshold: NonNegative = 0.01
    """An edge is in the circuit if both ends are and |aggregated weight| exceeds this."""
    edge_kinds: EdgeKinds = ("direct",)
    """Circuits of each task. `direct`: edges from a site to those that read it, between nodes whose
    effect exceeds node_threshold. `total`: edges from any earlier site, by all paths, found from
    the metric down: further nodes are in if their weight into a node that is in exceeds
    total_threshold. These circuits are named `<task>.<method>.<aggregation>.total`."""
    total_threshold: NonNegative | None = None
    """An edge into a node is in a `total` circuit, and so is the node that it comes from, if
    |aggregated weight| exceeds this. None: as node_threshold."""


@dataclass(frozen=True)
class FaithfulnessSpec:
    sizes: Annotated[tuple[Annotated[int, Range(0)], ...], Distinct()] = SIZES
    """Nodes kept, the largest |effect| first; all nodes are always evaluated too."""
    thresholds: Annotated[tuple[NonNegative, ...], Distinct()] = ()
    """Further circuits: nodes above each threshold."""
    ablations: Annotated[tuple[Ablation, ...], NonEmpty(), Distinct()] = ("mean",)
    """What replaces a node outside the circuit."""
    errors: Annotated[tuple[ErrorMode, ...], NonEmpty(), Distinct()] = ("default", "remove")
    """Error nodes by the circuit, all kept, or all ablated; random circuits by the first of these
    alone."""
    start_layer: Annotated[int, Range(-1)] = -1
    """First layer whose sites are edited; −1 includes embed."""
    units: Annotated[tuple[Unit, ...], NonEmpty(), Distinct()] = ("feature", "neuron", "random")
    """Features, neurons of the same sites, and random circuits of the features' shape."""
    random_seeds: Count = 5
    """Random circuits of each size."""
    bootstrap: Annotated[int, Range(0)] = 200
    """Resamples of the test examples for the 90 % interval."""


@dataclass(frozen=True)
class ShiftSpec:
    site: Annotated[str, NonEmpty()]
    """Where probes read: the site's mean over a biography's tokens. Features of the sites up to it
    may be ablated."""
    probes: Annotated[dict[str, tuple[str, ...]], NonEmpty()]
    """Probe -> the professions that it divides into those mostly of women and the others; an empty
    list: all that the generator knows."""
    features: str = ""
    """TOML list of features that a person chose, or `embedded`, the one that the package ships for
    its dictionaries. Empty: none."""
    ablation: Literal["mean", "zero"] = "mean"
    """What ablated nodes hold: their mean over the tokens that the probe was trained on, so that
    its threshold stays right, or nothing."""
    candidates: Count = 120
    """Features, the largest effect on the probe first, that a person or the rule chooses from."""
    by_rule: Count = 20
    """Features that the rule with gender labels chooses; as many neurons."""
    random_seeds: Count = 3
    """Draws of random features, as many of each site as were chosen by hand, or without a list by
    the rule."""
    train: Annotated[int, Range(16)] = 256
    """Biographies that probes are trained on."""
    test: Annotated[int, Range(16)] = 512
    """Biographies that they are measured on, of other names."""
    seed: Seed = 0
    """Of the biographies."""


@dataclass(frozen=True)
class RecipeSpec:
    seed: Seed = 0
    """Of the documents, of the weights and of the order in which documents are read."""
    documents: Annotated[int, Range(32)] = 150_000
    """Generated documents that the model is trained on, each once, 32 a step; the tokenizer on the
    first 20,000 of their corpus."""
    vocabulary: Annotated[int, Range(258, 65_536)] = 1536
    """Entries of the byte-level BPE; those beyond the generator's words are merges."""
    n_layers: Count = 3
    """Layers of the model."""
    d_model: Count = 112
    """Width of the stream. Model and dictionaries of all sites are 5.4 MB; 128 would be 7."""
    n_heads: Count = 4
    """Attention heads of a layer."""
    held_out: Count = 10_000
    """Documents, of another corpus, that model and dictionaries are measured on."""
    train: TrainingSpec = TrainingSpec()
    """How the dictionaries of the trained model are trained."""


@dataclass(frozen=True)
class ComputeSpec:
    device: Device = "auto"
    """Where tensors live; auto: a GPU where there is one. `spread`: the layers of a model larger
    than a GPU over all GPUs, then this machine's memory, then its disk, as transformers and
    accelerate (the extra `spread`) place them. Not part of the data version."""
    max_memory: dict[str, Annotated[float, Range(0.001)]] = field(default_factory=dict)
    """With `spread`: GPU (`0`, `1`, …) or `cpu` -> GiB of weights that it takes at most, so that
    room is left for dictionaries and batches; what is not named takes what it can. Not part of the
    data version."""
    deterministic: bool = False
    """On a GPU, kernels alone that give the same bits each time, slower ones among them; without
    one they do anyhow. Not part of the data version."""
    batch_tokens: Count = 8192
    """Tokens in a batch: the bound on memory. Not part of the data version."""
    memory_share: Annotated[float, Range(0.01, 1.0)] = 0.5
    """Share of the free memory that a batch of circuit discovery may take; one of `batch_tokens`
    that would take more is halved until it fits. Not part of the data version."""
    workers: Count = 1
    """Processes that a run of the study shares its partitions among, each with its share of the
    cores and a model of its own: worth it for small models. On a GPU always one. Not part of the
    data version."""
    activation_cache: NonNegative = 0.0
    """GiB on disk, below the lake, for activations that dictionaries are trained on: a sweep then
    runs the model once, as far as they suffice (4 bytes a dimension, token and site). They go when
    nothing is left to train. Not part of the data version: rounds are the same to the bit."""


@dataclass(frozen=True)
class Study:
    name: str
    """The TOML file's stem: the key prefix of the assets and the `study` column."""
    file: Path
    """The TOML file; relative paths start at its folder."""
    model: ModelSpec
    """The language model."""
    corpus: CorpusSpec
    """Where documents come from."""
    tokens: TokensSpec = TokensSpec()
    """How documents become tokens."""
    dictionaries: DictionariesSpec = DictionariesSpec()
    """The sparse dictionaries of the sites."""
    dictionary_sweep: DictionarySweepSpec | None = None
    """Dictionaries of every form, width and sparsity named, each a point that is trained as
    `dictionaries.train` says else (without nested parts of its own) and measured."""
    features: FeaturesSpec = FeaturesSpec()
    """What is found out about each feature."""
    contexts: ContextsSpec = ContextsSpec()
    """Which predicted tokens become contexts."""
    context_features: ContextFeaturesSpec = ContextFeaturesSpec()
    """What is stored of each context."""
    context_gradients: ContextGradientsSpec = ContextGradientsSpec()
    """How the gradients of contexts are projected, for clusterings by them."""
    clusterings: dict[str, ClusteringSpec] = field(default_factory=dict)
    """Clusterings by name."""
    tasks: dict[str, TaskSpec] = field(default_factory=dict)
    """Pair tasks by name."""
    cluster_tasks: ClusterTasksSpec = ClusterTasksSpec()
    """Clusters as tasks."""
    node_effects: NodeEffectsSpec = NodeEffectsSpec()
    """How node effects are computed."""
    circuits: CircuitsSpec = CircuitsSpec()
    """What enters a circuit."""
    faithfulness: FaithfulnessSpec = FaithfulnessSpec()
    """How circuits are evaluated."""
    shift: ShiftSpec | None = None
    """Probes of generated biographies, and edits that take gender from what they read."""
    recipe: RecipeSpec | None = None
    """How the package's own tokenizer, model and dictionaries are made, for the study that makes
    them."""
    compute: ComputeSpec = ComputeSpec()
    """Where and in what portions things are computed."""

    def path(self, relative: str) -> Path:
        """A path named in the TOML file, absolute."""
        return (self.file.parent / Path(relative).expanduser()).resolve()


def read_study(file: Path) -> Study:
    """The study in a TOML file. Raises StudyError that names file, key, expected and found."""
    table = with_lists(read_toml(file), file, ClusteringSpec)
    study = to_dataclass(Study, table, file, given={"name": file.stem, "file": file})
    check(study)
    return study
