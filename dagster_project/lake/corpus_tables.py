"""Tables of the corpus, of the contexts drawn from it and of their clusterings."""

from __future__ import annotations

import polars as pl

from dagster_project.lake.columns import (
    BOOL,
    DOC,
    F32,
    FEATURE,
    I16,
    I32,
    I64,
    POS,
    SITE,
    STRING,
    TOKEN,
    U16,
    U32,
    Column,
    column,
    nullable,
    table,
)

_PIECE = pl.Struct({"start": U32, "end": U32, "skill": STRING, "slot": STRING, "surprisal": F32})
_PIECE_OF_TOKEN = (
    nullable("skill", STRING, "Rule behind the token, where the corpus knows it"),
    nullable("slot", STRING, "Place of the token within that rule"),
)

CORPUS_TABLES = (
    table(
        "shards",
        None,
        "ordinal",
        "A shard: a row range of one source (append-only manifest)",
        column("shard", STRING, "Partition key: the ordinal, zero-padded to five digits"),
        column("ordinal", U32, "Number of the shard, in the order of registration"),
        column("path", STRING, "Source file or hub data set"),
        column("first_row", I64, "First row of the source in this shard", "rows"),
        column("rows", U32, "Rows of the source in this shard, malformed ones included", "rows"),
        nullable("size", I64, "Size of the source when last read; null for a stream", "bytes"),
        nullable("modified_ns", I64, "Modification time of the source; null for a stream", "ns"),
        column("content_hash", STRING, "Hash of the shard's rows"),
        nullable("first_byte", I64, "Offset of first_row in an uncompressed line file", "bytes"),
        column("read_as", STRING, "How rows of the source were told apart"),
        column("ends_source", BOOL, "No rows came after these when the source was last read"),
    ),
    table(
        "documents",
        "shard",
        "doc_id",
        "A document",
        DOC,
        nullable("pile_set_name", STRING, "Subset of the corpus"),
        column("text", STRING, "Text"),
        column("n_chars", U32, "Length of the text", "characters"),
        column("content_hash", STRING, "Hash of the text"),
        nullable(
            "duplicate_of",
            I64,
            "First document of the shard with the same text; null: this is the first",
        ),
        nullable(
            "pieces", pl.List(_PIECE), "Rules known of the text, in characters; surprisal in nats"
        ),
    ),
    table(
        "tokens",
        "shard",
        "doc_id pos",
        "A token of a document",
        DOC,
        POS,
        TOKEN,
        column("token", STRING, "Text of the token within a text: leading space kept"),
        nullable("piece", U32, "Index in the document's pieces of the one it belongs to"),
    ),
    table(
        "losses",
        "shard",
        "doc_id pos",
        "A predicted token of a document (pos ≥ 1)",
        DOC,
        POS,
        TOKEN,
        column("loss", F32, "−log p of the token given those before it", "nats"),
        column("rank", U32, "Tokens that the model held more likely; 0: its top choice"),
        column("entropy", F32, "Entropy of the model's prediction", "nats"),
        column("trigram_seen", BOOL, "The trigram ending here occurred earlier in the document"),
        column("bigram_seen", BOOL, "The bigram ending here occurred earlier in the document"),
        nullable("piece", U32, "Index in the document's pieces of the one it belongs to"),
        nullable(
            "surprisal",
            F32,
            "−log p of the piece under its rule, on its first token; 0 on its others, so that "
            "sum(loss) − sum(surprisal) of a piece is its excess loss; null where there is no "
            "piece or not all of its tokens may have a loss",
            "nats",
        ),
        *_PIECE_OF_TOKEN,
    ),
    table(
        "contexts",
        None,
        "context_id",
        "A predicted token with the tokens before it",
        column("context_id", I64, "Context: doc_id × 65,536 + pos"),
        DOC,
        column("pos", U16, "Position of the answer token in the document", "tokens"),
        column("answer_id", U32, "Answer token"),
        column("answer", STRING, "Text of the answer token"),
        column("loss", F32, "Loss of the answer given the whole document before it", "nats"),
        column("context_loss", F32, "Loss of the answer given only the context", "nats"),
        *_PIECE_OF_TOKEN,
    ),
    table(
        "context_features",
        "shard",
        "site feature context_id pos",
        "A feature active in a context (at a position, or summed), or a site's error node",
        column("context_id", I64, "Context"),
        nullable(
            "pos",
            I16,
            "Position counted back from the answer (−1); null: the sum over all positions. Where "
            "sums are kept, rows of position −1 may stand beside them: read one or the other",
            "tokens",
        ),
        SITE,
        FEATURE,
        column("activation", F32, "Activation, or its sum; for the error node ‖ε‖"),
        nullable("gradient", F32, "Gradient of the metric; null for sums and for the error node"),
        nullable("effect", F32, "Activation × gradient, summed after; null: their product"),
    ),
    table(
        "context_gradients",
        "shard",
        "context_id",
        "A context's gradient of its loss over the parameters, projected",
        column("context_id", I64, "Context"),
        column(
            "vector",
            pl.List(F32),
            "Its inner product with another context's vector of the study estimates that of their "
            "gradients over all parameters but norms, embeddings and unembedding",
        ),
        column("norm", F32, "Norm of the gradient, estimated", "nats"),
    ),
)


def _baseline(name: str, what: str) -> tuple[Column, ...]:
    return tuple(
        nullable(f"{name}_{score}", F32, f"{score.upper()} against the known rules of {what}")
        for score in ("ari", "nmi", "purity")
    )


CLUSTERING_TABLES = (
    table(
        "clusterings",
        "clustering",
        "",
        "A clustering of the study's contexts, one row a partition",
        column(
            "representation",
            STRING,
            "activations, effects, abs_effects, root_effects or gradients",
        ),
        column("metric", STRING, "Metric of the effects: log_prob, logit or logit_minus_mean"),
        column(
            "aggregation",
            STRING,
            "Of features over positions: sum, last (each of the last ones) or last position",
        ),
        column("similarity", STRING, "cosine, clipped, angular or abs"),
        nullable(
            "unit_norm_per_site",
            BOOL,
            "Each site's part of a vector is scaled to norm 1; null for gradients",
        ),
        nullable("unit_rows", BOOL, "Each row of the spectral embedding is scaled to norm 1"),
        nullable("errors", BOOL, "Error nodes are columns of the vectors too; null for gradients"),
        nullable("svd_cut", F32, "Share of ‖X‖² in the singular directions kept; 0: no SVD"),
        nullable("assign", STRING, "What groups the embedding: kmeans, cluster_qr or hdbscan"),
        nullable("min_cluster_size", U32, "Contexts of a cluster at least; null but for hdbscan"),
        nullable(
            "clusters_asked", U32, "Clusters asked for; with hdbscan, dimensions to find them in"
        ),
        column("n_clusters", U32, "Clusters found"),
        column("n_contexts", U32, "Contexts clustered, zero vectors included"),
        nullable("n_zero", U32, "Contexts whose vector is zero (cluster −1)"),
        nullable("n_left_out", U32, "Contexts that HDBSCAN leaves out (cluster −2)"),
        nullable("part", STRING, "all contexts, or the half to choose or to report by"),
        column("sample", STRING, "The part; of part of it, how the contexts were drawn"),
        nullable("ari", F32, "Adjusted Rand index against the known rules (skill and slot)"),
        nullable("nmi", F32, "Normalised mutual information with the known rules"),
        nullable("purity", F32, "Share of contexts whose rule is their cluster's commonest"),
        nullable("silhouette", F32, "Mean silhouette (cosine) of the contexts in clusters"),
        nullable(
            "ari_seeds",
            F32,
            "Mean ARI with k-means from other seeds on the same embedding; null for other "
            "groupings, and above 20,000 contexts",
        ),
        nullable(
            "ari_halves",
            F32,
            "Mean ARI with clusterings of either half of the contexts alone; null where halves "
            "are too small, and above 20,000 contexts",
        ),
        nullable(
            "residual",
            F32,
            "How exact the eigenvectors of the embedding are: the largest ‖A v − λ v‖ / |λ| of "
            "those used",
        ),
        *_baseline("previous", "clusters by the previous token"),
        *_baseline("answer", "clusters by the answer token"),
        *_baseline("last", "clusters by last-position activations"),
        nullable("seconds", F32, "Time that the clustering took", "s"),
    ),
    table(
        "cluster_members",
        "clustering",
        "context_id",
        "A context of a clustering",
        column("context_id", I64, "Context"),
        column("cluster", I32, "Its cluster; −1: zero vector; −2: left out by HDBSCAN"),
        nullable("x", F32, "Place on the 2-D map"),
        nullable("y", F32, "Place on the 2-D map"),
    ),
    table(
        "clusters",
        "clustering",
        "cluster",
        "A cluster of a clustering",
        column("cluster", I32, "Cluster; −1: zero vectors; −2: left out by HDBSCAN"),
        column("size", U32, "Contexts"),
        column("mean_loss", F32, "Mean loss of the answers in their documents", "nats"),
        column("top_answers", pl.List(STRING), "Commonest answer tokens, commonest first"),
        column("answer_entropy", F32, "Entropy of the answer token within the cluster", "nats"),
        nullable("top_skill", STRING, "Commonest known rule: skill/slot, or skill without a slot"),
        nullable("purity", F32, "Share of the contexts with a known rule that have the commonest"),
        nullable("silhouette", F32, "Mean silhouette (cosine) of its contexts"),
        nullable(
            "leaf",
            U32,
            "Place, from 0, where clusters are put in the order of a tree, like ones together: "
            "average linkage of the cosines of their mean unit vectors; null below cluster 0",
        ),
    ),
    table(
        "distinct_features",
        "clustering",
        "cluster place",
        "A feature that tells a cluster from the others of its clustering",
        column("cluster", I32, "Cluster"),
        column("place", U32, "Place within the cluster, by difference, from 1"),
        SITE,
        column("feature", I32, "Feature of the site's dictionary"),
        column("share", F32, "Share of the cluster's contexts in which it is active"),
        nullable("share_else", F32, "The same of the other clusters' contexts"),
        column(
            "mean_effect",
            F32,
            "Mean over the cluster's contexts of |effect|, summed over positions",
        ),
        nullable("mean_effect_else", F32, "The same over the other clusters' contexts"),
        column("difference", F32, "mean_effect less mean_effect_else"),
    ),
)
