"""Small lakes for the dashboard, made by hand: a plain one, and one whose every text is hostile."""

from __future__ import annotations

from dagster_project.lake.store import Lake
from tests.lake.frames import Row, put

DOCUMENTS = 24  # so that tokens are predicted often enough to be listed
SITES = ("embed", "attn_0", "mlp_0", "resid_0")
PLAIN = ("The", " girl", " was", " happy", ".\n")
HOSTILE = (
    "<img src=x onerror=document.title='owned'>",
    "<script>document.title='owned'</script>",
    '<a href="https://example.com/plotly">link</a>',
    '=HYPERLINK("https://example.com")',
    "+cmd|' /C calc'!A0",
    "@SUM(1)",
    "\x00\x07\x1b[31m\r\n\t",
    "\u202egnirts\u202c \u2066isolate\u2069\u200b\ufeff",
    "%{y}<br><b>bold</b><extra></extra>&amp;",
    "a" * 100_000,
    "{{config}}${7*7}`x`'\"--",
)


def fill(lake: Lake, study: str = "plain", texts: tuple[str, ...] = PLAIN) -> Lake:
    """A whole study in a lake: documents of `texts`, two tasks, a clustering."""
    name = texts[0] if texts is HOSTILE else "web"
    shard, documents = {"study": study, "shard": "00000"}, range(DOCUMENTS)
    put(
        lake,
        "shards",
        [{"ordinal": 0, "shard": "00000", "path": name, "rows": DOCUMENTS}],
        study=study,
    )
    put(lake, "documents", [_document(d, texts) for d in documents], **shard)
    places = [(d, p, texts[p % len(texts)]) for d in documents for p in range(len(texts))]
    put(lake, "tokens", [_token(d, p, text) for d, p, text in places], **shard)
    put(lake, "losses", [_loss(d, p, texts) for d, p, _ in places if p], **shard)
    put(lake, "dictionaries", [_dictionary(site, texts) for site in SITES], study=study)
    for task in ("agreement", "bracket"):
        put(lake, "faithfulness", _faithfulness(), study=study, task=task)
        put(lake, "circuits", [_circuit(task)], study=study, task=task)
        put(lake, "pairs", [{"split": "test", "clean_prefix": texts[1]}], study=study, task=task)
    return lake


def _document(doc: int, texts: tuple[str, ...]) -> Row:
    text = "".join(texts)
    subset = texts[doc % len(texts)] if texts is HOSTILE else ("web", "books")[doc % 2]
    return {"doc_id": doc, "pile_set_name": subset, "text": text, "n_chars": len(text)}


def _token(doc: int, pos: int, text: str) -> Row:
    return {"doc_id": doc, "pos": pos, "token_id": pos, "token": text}


def _loss(doc: int, pos: int, texts: tuple[str, ...]) -> Row:
    skill = texts[pos % len(texts)] if texts is HOSTILE else ("count", "copy")[pos % 2]
    row: Row = {"doc_id": doc, "pos": pos, "token_id": pos, "loss": 0.25 * pos + doc}
    return row | {"skill": skill, "piece": pos, "surprisal": 0.125 * pos, "rank": pos - 1}


def _dictionary(site: str, texts: tuple[str, ...]) -> Row:
    kind = texts[0] if texts is HOSTILE else "topk"
    return {"site": site, "kind": kind, "d_model": 16, "n_features": 64, "l0": 8.0, "fve": 0.9375}


def _circuit(task: str) -> Row:
    return {"circuit": f"{task}.ig.sum", "method": "ig", "aggregation": "sum", "n_nodes": 7}


def _faithfulness() -> list[Row]:
    common: Row = {"method": "ig", "aggregation": "sum", "split": "test", "start_layer": -1}
    rows: list[Row] = []
    for errors in ("default", "remove"):
        for size in (0, 5, 20, 64):
            for unit, seeds in (("feature", [None]), ("neuron", [None]), ("random", [0, 1])):
                for seed in seeds:
                    share = size / 64 * (1.0 if unit == "feature" else 0.5)
                    kept: Row = {"unit": unit, "seed": seed, "selection": "top_n", "value": size}
                    found: Row = {"n_nodes": size, "faithfulness": share, "completeness": 1 - share}
                    choice: Row = {"errors": errors, "ablation": "mean"}
                    rows.append(common | choice | kept | found)
    at_threshold: Row = {"unit": "feature", "selection": "threshold", "value": 0.1, "n_nodes": 7}
    at_threshold |= {"faithfulness": 0.375, "completeness": 0.5}
    rows.append(common | {"errors": "default", "ablation": "mean"} | at_threshold)
    return rows
