"""Reading studies: every error names file, key, what was expected and what was found."""

from pathlib import Path

import pytest

from dagster_project.interp.model import ModelError
from dagster_project.resources import model_source, tokenizer
from dagster_project.studies.parsing import StudyError
from dagster_project.studies.registry import load_studies
from dagster_project.studies.study import ClusteringSpec, Study, read_study

MINIMAL = """
[model]
source = "./folder"
[corpus]
files = ["*.jsonl"]
"""
TASK = "templates = ['The {}']\nfills = [['a', 'b']]\nanswers = ['x', 'y']"


def study_of(folder: Path, text: str, name: str = "mine") -> Study:
    file = folder / f"{name}.toml"
    file.write_text(text)
    return read_study(file)


def test_a_minimal_study_has_the_documented_defaults(tmp_path: Path) -> None:
    study = study_of(tmp_path, MINIMAL)
    assert study.name == "mine"
    assert study.tokens.max_tokens == 1024
    assert study.node_effects.method == "ig"
    assert study.path("folder") == tmp_path / "folder"


def test_nested_tables_become_dataclasses(tmp_path: Path) -> None:
    study = study_of(tmp_path, MINIMAL + "[clusterings.a-10]\nn_clusters = 10\nsvd_cut = 1\n")
    assert study.clusterings == {"a-10": ClusteringSpec(n_clusters=10, svd_cut=1.0)}


def test_a_list_of_sizes_makes_clusterings_that_share_the_widest_embedding(tmp_path: Path) -> None:
    text = "[clusterings.a]\nn_clusters = [20, 5]\nseed = 3\n[clusterings.b]\nn_clusters = 4\n"
    chosen = "[cluster_tasks]\nclustering = 'a-5'\n"
    assert study_of(tmp_path, MINIMAL + text + chosen).clusterings == {
        "a-20": ClusteringSpec(n_clusters=20, embedded=20, seed=3),
        "a-5": ClusteringSpec(n_clusters=5, embedded=20, seed=3),
        "b": ClusteringSpec(n_clusters=4),
    }


def test_lists_of_sizes_and_parts_make_a_clustering_of_each(tmp_path: Path) -> None:
    table = "[clusterings.a]\nn_clusters = [3, 2]\npart = ['choose', 'report']\n"
    assert study_of(tmp_path, MINIMAL + table).clusterings == {
        "a-3-choose": ClusteringSpec(n_clusters=3, embedded=3, part="choose"),
        "a-3-report": ClusteringSpec(n_clusters=3, embedded=3, part="report"),
        "a-2-choose": ClusteringSpec(n_clusters=2, embedded=3, part="choose"),
        "a-2-report": ClusteringSpec(n_clusters=2, embedded=3, part="report"),
    }
    with pytest.raises(StudyError, match=r"clusterings\.a\.part must be a value or a list"):
        study_of(tmp_path, MINIMAL + table.replace("'report'", "'choose'"))


@pytest.mark.parametrize(
    ("text", "key", "expected", "found"),
    [
        (
            "[clusterings.a]\nn_clusters = []",
            "clusterings.a.n_clusters",
            "a value or a list",
            "[]",
        ),
        (
            "[clusterings.a]\nn_clusters = [9, 9]",
            "clusterings.a.n_clusters",
            "a list of diff",
            "[9, 9]",
        ),
        (
            "[clusterings.a]\nn_clusters = [2.5]",
            "clusterings.a.n_clusters[0]",
            "an integer",
            "2.5",
        ),
        (
            "[clusterings.a]\nn_clusters = [9, -5]",
            "clusterings.a.n_clusters[1]",
            "at least 2",
            "-5",
        ),
        (
            "[clusterings.a]\nn_clusters = 2\npart = ['choose', 'half']",
            "clusterings.a.part[1]",
            "repo",
            '"half"',
        ),
        (
            "[clusterings.a]\nn_clusters = [2, 3]\nseed = -1",
            "clusterings.a.seed",
            "at least 0",
            "-1",
        ),
        (
            "[clusterings.a]\nn_clusters = [9]\n[clusterings.a-9]\nn_clusters = 3",
            "clusterings.a-9",
            "a name that no list makes of clusterings.a",
            '"a-9"',
        ),
        ("clusterings = 3", "clusterings", "a table", "3"),
        ("[clusterings]\na = 3", "clusterings.a", "a table", "3"),
        ("[tokens]\nmax_tokens = 'many'", "tokens.max_tokens", "an integer", '"many"'),
        ("[tokens]\nmax_tokens = 1", "tokens.max_tokens", "at least 2", "1"),
        ("[tokens]\nmax_tokens = true", "tokens.max_tokens", "an integer", "True"),
        ("[tokens]\nmaximum = 3", "tokens.maximum", "one of the keys ['max_tokens']", '"maximum"'),
        ("tokens = 3", "tokens", "a table", "3"),
        ("[contexts]\nmax_loss = -0.1", "contexts.max_loss", "at least 0.0", "-0.1"),
        ("[contexts]\nmax_loss = nan", "contexts.max_loss", "at least 0.0", "nan"),
        ("[contexts]\nstratify = 'rule'", "contexts.per_stratum", "above 0 with", "0"),
        ("[contexts]\nper_stratum = 2", "contexts.per_stratum", "and 0 without", "2"),
        ("[contexts]\nskip_trigrams = 1", "contexts.skip_trigrams", "true or false", "1"),
        ("[node_effects]\nmethod = 'magic'", "node_effects.method", "['ig', 'attrib']", '"magic"'),
        ("[faithfulness]\nsizes = 3", "faithfulness.sizes", "a list", "3"),
        ("[faithfulness]\nsizes = [-3]", "faithfulness.sizes[0]", "at least 0", "-3"),
        ("[clusterings.a]\nseed = 1", "clusterings.a.n_clusters", "given", "nothing"),
        ("[cluster_tasks]\nclustering = 'b'", "cluster_tasks.clustering", "one of", '"b"'),
        ("[tasks.t]\n", "tasks.t", "one of train (a JSONL, CSV or Parquet file), t", '"none"'),
        ("[tasks.t]\nembedded = 'r c'", "tasks.t.embedded", "'rc'", '"r c"'),
        (
            "[tasks.t]\nembedded = 'rc'\ntrain = 'a'",
            "tasks.t",
            "one of train (a JSONL, CSV or Parquet file), templates and embedded",
            '"train and embedded"',
        ),
        ("[tasks.t]\nembedded = 'rc'\ntest = 'a'", "tasks.t.test", "left out", '"a"'),
        (f"[tasks.t]\n{TASK}\nembedded = 'rc'", "tasks.t", "one of", '"templates and embedded"'),
        ("[clusterings.a]\nn_clusters = 2\npart = 'half'", "clusterings.a.part", "repo", '"half"'),
        (
            "[context_features]\naggregation = 'last'\nalso_last = true",
            "context_features.also_last",
            'false unless context_features.aggregation is "sum"',
            "True",
        ),
        (
            "[clusterings.a]\nn_clusters = 2\nrepresentation = 'gradients'\nerrors = true",
            "clusterings.a.errors",
            'false with representation "gradients", which have no error nodes',
            "True",
        ),
        (
            "[clusterings.a]\nn_clusters = 2\nrepresentation = 'gradients'\n"
            "unit_norm_per_site = false",
            "clusterings.a.unit_norm_per_site",
            'left out with representation "gradients", which have no sites',
            "False",
        ),
        (
            "[clusterings.a]\nn_clusters = 2\nrepresentation = 'gradients'\nsimilarity = 'abs'",
            "clusterings.a.similarity",
            'cosine, clipped or angular with representation "gradients"',
            '"abs"',
        ),
        ("[context_gradients]\nerror = 0", "context_gradients.error", "at least 0.01", "0"),
        ("[recipe]\nn_heads = 0", "recipe.n_heads", "at least 1", "0"),
        ("[recipe]\nd_model = 100", "recipe.d_model", "a multiple of twice recipe.n_heads", "100"),
        ("[recipe]\ndocuments = 31", "recipe.documents", "at least 32", "31"),
        (
            "[recipe.train]\nnested = [8]\nnested_coefficients = {embed = 0.1, mlp_3 = 1}",
            "recipe.train.nested_coefficients",
            "sites of a model of 3 layers",
            "['mlp_3']",
        ),
        (
            "[recipe.train]\nnested = [8, 896]\nnested_coefficients = {embed = 0.1}",
            "recipe.train.nested",
            "less than the 896 features",
            "[896]",
        ),
        (
            "[dictionaries.train]\nnested = [8]",
            "dictionaries.train.nested_coefficients",
            "given, since nested is",
            "nothing",
        ),
        (
            "[dictionaries.train]\nnested_coefficients = {embed = 0.1}",
            "dictionaries.train.nested",
            "given, since nested_coefficients is",
            "nothing",
        ),
        (
            '[dictionaries.train]\nform = "gated"',
            "dictionaries.train.form",
            "one of ['batch_topk', 'topk', 'jumprelu', 'matryoshka']",
            '"gated"',
        ),
        (
            '[dictionaries.train]\nform = "matryoshka"\nnested_coefficients = {embed = 0.1}',
            "dictionaries.train.nested_coefficients",
            'left out with form "matryoshka"',
            "{'embed': 0.1}",
        ),
        (
            "[dictionaries.train]\nwarm_up = 0.5\ndecay = 0.75",
            "dictionaries.train.decay",
            "at most 0.5, since warm_up is 0.5",
            "0.75",
        ),
        ("[dictionary_sweep]\nks = []", "dictionary_sweep.ks", "a non-empty list", "[]"),
        ("recipe = 3", "recipe", "a table", "3"),
        ("[shift]\nsite = 'embed'\nprobes = {}", "shift.probes", "a non-empty table", "{}"),
        (
            "[shift]\nsite = 'embed'\nprobes = {a = ['nurse', 'king']}",
            "shift.probes.a",
            "some of ['banker', 'cashier'",
            "['king']",
        ),
        (
            "[shift]\nsite = 'embed'\nprobes = {a = ['nurse', 'dancer']}",
            "shift.probes.a",
            "professions mostly of women and others",
            "['nurse', 'dancer']",
        ),
        (
            "[shift]\nsite = 'embed'\nprobes = {a = []}\nfeatures = 'mine.toml'",
            "shift.features",
            'left out with dictionaries.source "train"',
            '"mine.toml"',
        ),
        (
            "[tasks.t]\ntemplates = ['The']\nfills = [['a', 'b']]\nanswers = ['x', 'y']",
            "tasks.t.templates",
            "one {}",
            '"The"',
        ),
        (
            "[tasks.t]\ntemplates = ['The {}']\nfills = [['a']]\nanswers = ['x', 'y']",
            "tasks.t.fills",
            "[clean, patch] words",
            "['a']",
        ),
        ("[tasks.'a/b']\ntrain = 'x'", "tasks", "letters", '"a/b"'),
        ("[dictionaries.train]\nk = 0", "dictionaries.train.k", "at least 1", "0"),
        ("name = 'other'", "name", "one of the keys ['circuits', 'cluster_tasks'", '"name"'),
        ("file = 'x'", "file", "one of the keys", '"file"'),
        ("[tokens]\nmax_tokens = 65537", "tokens.max_tokens", "at most 65536", "65537"),
        ("[contexts]\nseed = -1", "contexts.seed", "at least 0", "-1"),
        ("[node_effects]\nseed = -1", "node_effects.seed", "at least 0", "-1"),
        ("[dictionaries.train]\nseed = 4294967296", "dictionaries.train.seed", "at most", "42"),
        ("[clusterings.a]\nn_clusters = 2\nseed = -1", "clusterings.a.seed", "at least 0", "-1"),
        ("[faithfulness]\nunits = []", "faithfulness.units", "a non-empty list", "[]"),
        ("[faithfulness]\nablations = []", "faithfulness.ablations", "a non-empty list", "[]"),
        ("[faithfulness]\nerrors = []", "faithfulness.errors", "a non-empty list", "[]"),
        ("[faithfulness]\nsizes = [1, 1]", "faithfulness.sizes", "without repeats", "[1, 1]"),
        ("[faithfulness]\nthresholds = [1, 1.0]", "faithfulness.thresholds", "repeats", "[1, 1.0]"),
        (
            "[dictionaries]\nsites = ['a', 'a']",
            "dictionaries.sites",
            "without repeats",
            "['a', 'a']",
        ),
        (
            "[faithfulness]\nunits = ['feature', 'feature']",
            "faithfulness.units",
            "without repeats",
            "['feature', 'feature']",
        ),
        (
            f"[tasks.t]\n{TASK}\ntest_share = 0",
            "tasks.t.test_share",
            "above 0 where no test file is given",
            "0.0",
        ),
        (
            "[clusterings.a]\nn_clusters = 2\n[cluster_tasks]\nclustering = 'a'\ntest_share = 0",
            "cluster_tasks.test_share",
            "above 0",
            "0.0",
        ),
        (
            f"[clusterings.a]\nn_clusters = 2\n[cluster_tasks]\nclustering = 'a'\n"
            f"[tasks.a-1]\n{TASK}",
            "tasks.a-1",
            "a name that no cluster of a can have",
            '"a-1"',
        ),
        (
            "[dictionaries.parts.rest]\nsource = './x'",
            "dictionaries.parts.rest",
            "of a kind of site (embed, z, attn, mid, mlp, resid) or a site",
            '"rest"',
        ),
        (
            "[dictionaries.parts.embed_1]\nsource = './x'",
            "dictionaries.parts.embed_1",
            "of a kind of site",
            '"embed_1"',
        ),
        (
            "[dictionaries.parts.resid]\nsource = './x'\npath = '{site}'",
            "dictionaries.parts.resid.path",
            "a pattern with {layer} alone",
            '"{site}"',
        ),
        (
            "[dictionaries.parts.resid]\nsource = './x'\npath = 'a/../../b'",
            "dictionaries.parts.resid.path",
            "a path within the source",
            '"a/../../b"',
        ),
        (
            "[dictionaries.parts.resid]\nsource = './x'\nnearest_l0 = 100",
            "dictionaries.parts.resid.path",
            "given, since nearest_l0 is",
            "nothing",
        ),
        (
            "[dictionaries.parts.resid]\npath = 'a'",
            "dictionaries.parts.resid",
            'without path, scale and centred, since source "train" has no files',
            '"one of them"',
        ),
        (
            "[dictionaries.parts.resid_3]\nsource = 'some/set'",
            "dictionaries.parts.resid_3.revision",
            'dictionaries.parts.resid_3.source "some/set" is no folder',
            "nothing",
        ),
        ("[dictionaries]\nmissing = 'zero'", "dictionaries.missing", "leave_out", '"zero"'),
        (
            "[dictionaries]\nsource = 'some/set'",
            "dictionaries.revision",
            'dictionaries.source "some/set" is no folder',
            "nothing",
        ),
    ],
)
def test_an_error_names_key_expected_and_found(
    tmp_path: Path, text: str, key: str, expected: str, found: str
) -> None:
    top_level = not text.startswith("[")
    with pytest.raises(StudyError) as caught:
        study_of(tmp_path, f"{text}\n{MINIMAL}" if top_level else f"{MINIMAL}\n{text}")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'mine.toml'}: {key}")
    assert expected in message
    assert f"found {found}" in message


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "model"),
        ("[model]\nsource = ' '\n[corpus]\nfiles = ['a']", "model.source"),
        ("[model]\nsource = 'm'\n[corpus]", "corpus"),
        ("[model]\nsource = 'm'\n[corpus]\nhub = 'h'", "corpus.max_shards"),
        ("[model]\nsource = 'm'\n[corpus]\nembedded = true", "corpus.max_shards"),
        ("[model]\nsource = 'm'\n[corpus]\nembedded = false\nmax_shards = 1", "corpus"),
        ("[model]\nsource = 'm'\n[corpus]\nembedded = 'yes'\nmax_shards = 1", "corpus.embedded"),
        ("[model]\nsource = 'm'\n[corpus]\nembedded = true\nseed = -1", "corpus.seed"),
        ("[model]\nsource = 'm'\n[corpus]\nembedded = true\nfiles = ['a']", "corpus"),
        ("[model]\nsource = 'm'\n[corpus]\nembedded = true\nhub = 'h'\nmax_shards = 1", "corpus"),
        ("[model\n", "file"),
    ],
)
def test_a_study_without_model_or_corpus_is_refused(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(tmp_path, text)
    assert caught.value.key == key


@pytest.mark.parametrize("revision", ["", "revision = ' '\n"])
@pytest.mark.parametrize("table", ["model", "corpus"])
def test_what_the_hub_holds_needs_a_revision(tmp_path: Path, table: str, revision: str) -> None:
    tables = {
        "model": "[model]\nsource = 'some/thing'\n",
        "corpus": "[corpus]\nhub = 'some/thing'\nmax_shards = 1\n",
    }
    given = {name: f"{text}revision = 'abc'\n" for name, text in tables.items()}
    assert study_of(tmp_path, "".join(given.values())).model.revision == "abc"
    with pytest.raises(StudyError) as caught:
        study_of(tmp_path, "".join({**given, table: tables[table] + revision}.values()))
    assert caught.value.key == f"{table}.revision"
    assert f"is no folder ({tmp_path / 'some/thing'}) and so a hub id" in str(caught.value)
    (tmp_path / "some/thing").mkdir(parents=True)
    study_of(tmp_path, "".join(tables.values()))


@pytest.mark.parametrize("source", ["./absent", "../absent", "/absent", "~/absent"])
def test_what_is_written_like_a_path_is_no_hub_id(tmp_path: Path, source: str) -> None:
    study = study_of(tmp_path, MINIMAL.replace("./folder", source))
    assert model_source(study) == str(study.path(source))
    with pytest.raises(ModelError, match="neither a folder with a model nor within reach"):
        tokenizer(study)


def test_a_task_may_hold_nothing_out_where_a_test_file_is_given(tmp_path: Path) -> None:
    task = "[tasks.t]\ntrain = 'a'\ntest = 'b'\ntest_share = 0\n"
    assert study_of(tmp_path, MINIMAL + task).tasks["t"].test_share == 0
    with pytest.raises(StudyError, match=r"tasks\.t\.test_share must be above 0"):
        study_of(tmp_path, MINIMAL + task.replace("test = 'b'\n", ""))


def test_the_shipped_studies_load() -> None:
    found = load_studies()
    assert not found.errors
    assert set(found.studies) == {
        *("embedded", "representations-balanced", "representations-natural"),
        *("pythia-70m", "gpt2-small", "pythia-160m", "pythia-410m", "gemma-2-2b"),
    }
    for study in found.studies.values():
        commit = len(study.model.revision) == 40 or study.name == "pythia-410m"  # of a branch
        assert study.model.source == "embedded" or commit


def test_a_faulty_study_is_reported_and_the_others_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "good.toml").write_text(MINIMAL)
    (tmp_path / "bad.toml").write_text("model = 3")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setenv("CIRCUIT_LAKE_STUDIES", str(tmp_path))
    found = load_studies()
    assert "good" in found.studies
    assert sorted(e.file.name for e in found.errors) == ["bad.toml", "binary.toml"]


def test_names_that_dagster_could_not_hold_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a-b", "a_b", "étude"):
        (tmp_path / f"{name}.toml").write_text(MINIMAL)
    monkeypatch.setenv("CIRCUIT_LAKE_STUDIES", str(tmp_path))
    found = load_studies()
    assert "a-b" in found.studies
    assert [e.file.stem for e in found.errors] == ["a_b", "étude"]


def test_a_missing_folder_of_studies_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRCUIT_LAKE_STUDIES", str(tmp_path / "absent"))
    assert "CIRCUIT_LAKE_STUDIES" in str(load_studies().errors[0])


def test_the_embedded_study_is_about_every_rule_and_task() -> None:
    from dagster_project.embedded.corpus import LABELS
    from dagster_project.embedded.tasks import CUTS, TASKS

    study = load_studies().studies["embedded"]
    assert {spec.n_clusters for spec in study.clusterings.values()} == {len(LABELS)}
    assert study.contexts.target == study.contexts.per_stratum * len(LABELS)
    assert {name: spec.embedded for name, spec in study.tasks.items()} == {t: t for t in TASKS}
    summed = {name for name, spec in study.tasks.items() if spec.aggregation == "sum"}
    assert summed == set(CUTS)
    parts = {name: spec.part for name, spec in study.clusterings.items()}
    assert all(name.endswith(part) for name, part in parts.items())
    assert set(parts.values()) == {"choose", "report"}
