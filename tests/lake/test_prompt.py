"""The SQL prompt: one statement, one file, one question, a session; corpus text is no markup."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from dagster_project.lake import prompt, rendering
from dagster_project.lake.catalog import connect
from dagster_project.lake.commands import completer
from dagster_project.lake.errors import LakeError
from dagster_project.lake.store import Lake
from tests.lake.frames import put

TOKEN = "[red]b\n"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake")
    rows = [{"doc_id": 1, "pos": i, "token_id": i, "token": TOKEN} for i in range(1500)]
    put(lake, "tokens", rows, study="s", shard="00000")
    return lake


def ask(lake: Lake, *arguments: str) -> int:
    return prompt.main(["--root", str(lake.root), *arguments])


def test_one_statement(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(lake, "-c", "select token, pos / 3 as third, null as n from tokens limit 1") == 0
    output = capsys.readouterr().out
    assert r"[red]b\n" in output
    assert "null" in output
    assert output.splitlines()[-1] == "1 row"


def test_corpus_text_does_not_steer_the_terminal(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "a\x1b[31m\r\t\x9b\u202eb\u2066\u200d\n"
    assert rendering.visible(hostile) == r"a\x1b[31m\r\t\x9b\u202eb\u2066\u200d\n"
    assert rendering.visible("naïve − 日本 🙂") == "naïve − 日本 🙂"
    text = " || ".join(f"chr({ord(c)})" for c in hostile)
    for value in (text, f"[{text}]", f"{{'key': {text}}}"):
        assert ask(lake, "-c", f"select {value} as text") == 0
    assert ask(lake, "-c", f"select cast({text} as integer)") == 1  # the error quotes the text
    assert ask(lake, "-c", f'select 1 as "{hostile}"') == 0
    output = "".join(capsys.readouterr())
    assert r"\x1b[31m" in output
    assert not set(hostile) & set(output) - {"a", "b", "[", "3", "1", "m", "\n"}


def test_several_statements_and_long_results(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(lake, "-c", "select pos from tokens; select count(*) as c from tokens") == 0
    output = capsys.readouterr().out
    assert "first 1,000 rows" in output
    assert "1500" in output


def test_a_file(lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.sql"
    file.write_text("-- question: how many?\nselect count(*) as n from tokens;\n")
    assert ask(lake, str(file)) == 0
    assert "1500" in capsys.readouterr().out


def test_a_shipped_question(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(lake, "dictionary_quality") == 0
    assert "loss_recovered" in capsys.readouterr().out


def test_a_shipped_question_of_one_study(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    put(lake, "tokens", [{"token": "b"}], study="t", shard="00000")
    put(lake, "losses", [{"pos": 1, "loss": 2.0}], study="t", shard="00000")
    assert ask(lake, "loss_by_token", "study=t", "at_least=1") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 row"
    assert ask(lake, "loss_by_token", "study=s", "at_least=1") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 rows"


def test_all_rows_go_into_a_file(
    lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.csv"
    assert ask(lake, "--csv", str(file), "-c", "select pos from tokens") == 0
    assert len(file.read_text().splitlines()) == 1501
    assert capsys.readouterr().err == f"1,500 rows in {file}\n"
    assert ask(lake, "dictionary_quality", "--json", "-", "study=s") == 0
    assert capsys.readouterr().out == "[\n]\n"


def test_long_text_is_cut() -> None:
    assert rendering.cell("x" * 100_000) == "x" * 400 + "… (100,000 characters)"
    assert rendering.cell(["a\u2028[b]", None, {"k": 0.123456}]) == (
        r"a\u2028\[b], null, {k: 0.1235}"
    )


def test_from_a_pipe(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("select 40 + 2 as answer"))
    assert ask(lake) == 0
    assert "42" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("no_such",),
            "no file, question, macro or table; questions and macros are: circuit_between",
        ),
        (("-c", "select [red] from tokens"), "red"),
        (("-c", "select 1", "loss_by_subset"), "-c or a question, not both"),
        (("loss_by_token", "at_least=many"), "at_least is bigint, found 'many'"),
        (("-c", "selec 1"), "syntax error"),
    ],
)
def test_faults_are_told(
    lake: Lake, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(lake, *arguments) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_s3_is_refused_politely(capsys: pytest.CaptureFixture[str]) -> None:
    assert prompt.main(["--root", "s3://bucket/lake", "-c", "select 1"]) == 1
    assert "only local folders" in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state/circuit-lake/sql_history"


def test_a_session(lake: Lake, state: Path) -> None:
    typed = [
        "select 1 +",
        "41 as answer;",
        "selec;",
        ".tables",
        ".queries",
        ".schema losses",
        ".macros",
        ".schema loss_by_token",
        ".ask shard_of doc_id=3000004",
        ".ask shard_of doc_id=many",
        ".ask 'open",
        ".what",
        ".quit",
    ]
    console = Console(file=io.StringIO(), width=300)
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("".join(f"{line}\n" for line in typed))
        with connect(lake) as connection:
            prompt.converse(console, connection)
    assert isinstance(console.file, io.StringIO)
    output = console.file.getvalue()
    for piece in ("42", "syntax error", "A predicted token", "queries.loss_by_subset", "nats"):
        assert piece in output
    for piece in ("decode_context(study, doc_id, pos, n)", "bigint = 20", "00003", "found 'many'"):
        assert piece in output
    assert "No closing quotation" in output
    assert ".schema <table, query or macro>" in output
    assert "41 as answer" in state.read_text()


def test_commands_may_come_from_a_pipe(
    lake: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = ".schema losses\nselect 40\n  + 2 as a;\n.ask shard_of doc_id=3000004;\nselect 'b'\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert ask(lake) == 0
    output = capsys.readouterr().out
    assert [output.index(part) for part in ("nats", "42", "00003", "b")]
    monkeypatch.setattr("sys.stdin", io.StringIO(".quit\nselect 1\n"))
    assert ask(lake) == 0
    assert capsys.readouterr().out == ""


COMMANDS = {
    ".foo": "unknown command .foo\n.tables",
    ".shema losses": "unknown command .shema\nDid you mean .schema?",
    ".schema losess": "no table, query or macro 'losess'\nDid you mean losses",
    ".schema": ".schema takes one table, query or macro",
    ".ask": ".ask takes a query or macro",
    ".ask los": "los: no file, question, macro or table\nDid you mean losses or loss_by_",
}


@pytest.mark.parametrize("text", COMMANDS)
def test_a_command_that_is_none_says_what_is_near(lake: Lake, text: str) -> None:
    with connect(lake) as connection, pytest.raises(LakeError) as caught:
        prompt.answer(Console(file=io.StringIO()), connection, text)
    assert str(caught.value).startswith(COMMANDS[text])


def test_a_question_without_rows_says_why(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (("tokens", "token=b"), ("tokens", "token=b", "--json", "-")):
        assert ask(lake, *arguments) == 0
        assert "tokens: no token is 'b'; there are '[red]b\\n'" in capsys.readouterr().err
    assert ask(lake, "tokens", "pos=3") == 0
    assert capsys.readouterr().err == ""


def test_a_question_read_as_what_it_is_not(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("loss_by_subset", "queries.loss_by_subset()", "queries.cluster_ranking"):
        assert ask(lake, "-c", f"from {wrong}") == 1
        assert "It is read so: from queries." in " ".join(capsys.readouterr().err.split())


def test_no_lake_and_an_empty_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = Lake(tmp_path / "none")
    assert ask(nowhere, "-c", "select 1") == 1
    assert f"no lake at {nowhere.root}: `make demo`" in " ".join(capsys.readouterr().err.split())
    assert not nowhere.root.exists()
    nowhere.root.mkdir()
    assert ask(nowhere, "-c", "select 1") == 0
    assert "is an empty lake: `make demo` fills one" in capsys.readouterr().err


@pytest.mark.parametrize("form", [(), ("--csv", "-"), ("--json", "-")])
def test_a_reader_that_has_enough_ends_it_without_a_word(lake: Lake, form: tuple[str, ...]) -> None:
    sql = "select a.pos from tokens as a, tokens as b limit 300000"
    command = [sys.executable, "-m", "dagster_project.lake.prompt", "--root", str(lake.root)]
    pipe = subprocess.PIPE
    with subprocess.Popen([*command, *form, "-c", sql], stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before anything comes
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGPIPE


def printed(width: int, names: list[str], *rows: tuple[object, ...]) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(rendering.fitted(console, names, rows))
    assert isinstance(console.file, io.StringIO)
    lines = [line.strip(" ─") for line in console.file.getvalue().splitlines()]
    return "\n".join(line for line in lines if line)


def test_a_wide_result_breaks_no_word() -> None:
    names = ["study", "mean_loss", "text"]
    rows = [("embedded", 0.5, "long text"), ("embedded", 0.25, "words")]
    assert printed(60, names, *rows).splitlines()[1].split() == ["embedded", "0.5", "long", "text"]
    assert printed(26, names, *rows) == (
        "study embedded\nmean_\nloss   text\n0.5   long text\n0.25   words"
    )
    wide = [("embedded", 0.5, "longwords"), ("embedded", 0.25, "words")]
    assert printed(20, names, *wide) == (
        "study embedded\nmean_loss  0.5\ntext       longwor\nds\nmean_loss  0.25\ntext       words"
    )
    assert (
        printed(22, names, wide[0]) == "study      embedded\nmean_loss  0.5\ntext       longwords"
    )


def test_completion_knows_tables_columns_and_questions() -> None:
    def complete(text: str) -> set[str]:
        found = completer().get_completions(Document(text), CompleteEvent())
        return {c.text for c in found}

    assert "context_features" in complete("select * from con")
    assert "trigram_seen" in complete("select tri")
    assert "queries.circuit_overlap" in complete("from queries.cir")
    assert {"feature_where", "features"} <= complete("select count(*) from(fea")
    assert "decode_context" in complete("select DECO")
    assert "at_least" in complete("from queries.loss_by_token(at")
    assert ".schema" in complete(".sch")
