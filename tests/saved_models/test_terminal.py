"""A conversation answers questions, and says of every other line what is wrong."""

import io
import re

import pytest

from keras_dnc.export import ServerError
from keras_dnc.export import StreamingClient
from keras_dnc.saved_models import talk
from keras_dnc.saved_models.terminal import table_of_models

STORY = "Mary went to the kitchen."
QUESTION = "Where is Mary?"
REPLY = re.compile(r"\S+ \d+\.\d% \(\S+ \d+\.\d%, \S+ \d+\.\d%\)")


def replies(reader, *lines, **options):
    """Talk; return what is said after the greeting."""
    said = []
    talk(reader, lines, said.append, **options)
    assert "Ctrl-D" in said[0]
    return said[1:]


def test_a_question_is_answered_with_the_three_most_probable_words(reader):
    (said,) = replies(reader, STORY, "", QUESTION)
    assert REPLY.fullmatch(said)
    reader.reset()
    reader.read(STORY)
    answer = reader.ask(QUESTION)
    assert re.findall(r"(\S+) (\d+\.\d%)", said.replace("(", "")) == [
        (word, f"{chance:.1%}") for word, chance in answer.top
    ]


def test_a_line_may_have_statements_and_questions(reader):
    assert len(replies(reader, f"{STORY} {QUESTION} {STORY} {QUESTION}")) == 2
    assert reader.tokens.count("-") == 2 and reader.tokens.count(".") == 2


def test_several_answer_words_are_asked_for(reader):
    (said,) = replies(reader, QUESTION, answer_words=2)
    assert said.split()[0].count(",") == 1
    with pytest.raises(ValueError, match="`answer_words` must be a positive integer"):
        replies(reader, QUESTION, answer_words=0)


def test_new_starts_a_new_story(reader):
    assert replies(reader, STORY, "new") == ["A new story."]
    assert reader.tokens == []


def test_words_lists_the_words_without_marks(reader):
    (said,) = replies(reader, "words")
    assert said == "garden is kitchen mary the to went where"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Where is Mary", "End a statement with `.` and a question with `?`."),
        ("!!", "End a statement with `.` and a question with `?`."),
        (f"{STORY} .", "End a statement with `.` and a question with `?`."),
        (f"{STORY} Bob took it.", "unknown words: bob, it, took. Try `words`."),
        (f"{STORY} Mary - went.", "unknown words: -. Try `words`."),
    ],
)
def test_a_line_that_is_not_read_leaves_the_story_as_it_is(reader, line, said):
    (reply,) = replies(reader, line)
    assert reply.endswith(said)
    assert reader.tokens == []


def test_an_error_of_the_server_does_not_end_the_talk(reader, monkeypatch):
    def fails(*_):
        raise ServerError("machine", "is gone")

    monkeypatch.setattr(StreamingClient, "step", fails)
    assert replies(reader, QUESTION, "new") == ["machine: is gone", "A new story."]


def test_lines_come_from_the_terminal_until_it_ends(reader, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{STORY}\n  {QUESTION} \nnew"))
    talk(reader)
    *_, answer, new = capsys.readouterr().out.splitlines()
    assert REPLY.fullmatch(answer) and new == "A new story."


def test_an_interrupt_at_the_prompt_ends_the_talk(reader, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupted)
    said = []
    talk(reader, say=said.append)
    assert len(said) == 1


def test_the_table_has_a_row_for_each_model(folder):
    table = table_of_models(folder)
    names, descriptions, sizes = (list(column.cells) for column in table.columns)
    assert [str(name) for name in names] == ["copies", "reads"]
    # As it stands there: the brackets are no markup.
    assert [str(d) for d in descriptions] == [
        "It [red]copies 2 %.",
        "It [red]reads 2 %.",
    ]
    size = (folder / "reads" / "model.keras").stat().st_size
    assert sizes == 2 * [f"{size / 1e6:.1f}"]


@pytest.mark.parametrize("readme", [None, "", "# Only a title", b"# T\n\n\xff odd"])
def test_a_readme_without_a_description_does_no_harm(readme, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "model.keras").touch()
    if readme is not None:
        content = readme if isinstance(readme, bytes) else readme.encode()
        (tmp_path / "mine" / "README.md").write_bytes(content)
    (description,) = table_of_models(tmp_path).columns[1].cells
    assert str(description) in ("", "\ufffd odd")
