"""What is printed: control characters are shown, what cannot be encoded is escaped, and what draws goes past."""

import io

from chainrule.core.terminal import Printable, drawing, printable


def test_control_characters_are_shown_and_letters_stay():
    hostile = "a\x1b]0;title\x07\rb\x9b2Kc\u202ed\udcff\te\nf é 漢 😀"
    assert printable(hostile) == "a\\x1b]0;title\\x07\\rb\\x9b2Kc\\u202ed\\udcff\te\nf é 漢 😀"
    assert printable(printable(hostile)) == printable(hostile)


def test_a_stream_that_knows_few_letters_gets_escapes():
    raw = io.BytesIO()
    stream = Printable(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    print("naïve \x1b[31m", file=stream)
    assert raw.getvalue() == b"na\\xefve \\x1b[31m\n"
    assert not stream.isatty()


def test_lines_are_drawn_on_the_stream_itself():
    stream = io.StringIO()
    assert drawing(Printable(stream)) is stream
    assert drawing(stream) is stream
