"""Names are offered only where a typing error can have made one of the other."""

import itertools

import pytest

from chainrule.core.errors import nearest, suggest, typing_errors


@pytest.mark.parametrize(("name", "choices", "offered"), [
    ("age", ["Garage", "stage", "wages", "page"], ["page"]), ("age", ["Age"], ["Age"]), ("mnst", ["runs", "mnist", "kmnist"], ["mnist"]),
    ("age", ["age_years", "average"], ["age_years"]), ("minst", ["mnist"], ["mnist"]), ("a", ["b", "A"], ["A"]), ("x", ["xy", "y"], []),
    ("sepal", ["sepal length (cm)", "petal"], ["sepal length (cm)"]), ("cross_entropy", ["cross-entropy"], ["cross-entropy"]),
    ("lenett", ["lenet", "linear"], ["lenet"]), ("backpropagation", ["backprop", "bptt"], ["backprop"]),
    ("conv", ["convnet", "rbm"], ["convnet"]),
    ("con", ["convnet"], []),
])
def test_what_typing_errors_make_is_offered_and_nothing_else(name, choices, offered):
    assert nearest(name, choices) == offered


def test_errors_are_counted_as_a_search_over_all_single_errors_counts_them():
    """Breadth first from each word: one letter added, left out or changed, or two neighbours swapped, none of them touched again."""
    letters = "ab"

    def one_error(word):
        yield from (word[:i] + word[i + 1 :] for i in range(len(word)))
        yield from (word[:i] + c + word[i + 1 :] for i in range(len(word)) for c in letters)
        yield from (word[:i] + c + word[i:] for i in range(len(word) + 1) for c in letters)
        yield from (word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1))

    words = ["".join(w) for n in range(4) for w in itertools.product(letters, repeat=n)]
    for start in words:
        reached, edge = {start: 0}, [start]
        for distance in range(1, 4):
            edge = [w for w in {w for old in edge for w in one_error(old)} if w not in reached and len(w) <= 5]
            reached |= dict.fromkeys(edge, distance)
        for end in words:
            assert reached[end] <= typing_errors(start, end) <= reached[end] + (reached[end] >= 2)   # what was swapped is not touched again
            assert (typing_errors(start, end) == 1) == (reached[end] == 1)


def test_a_long_list_is_cut():
    assert suggest("q", ["b", "a"]) == "Known: a, b."
    assert suggest("q", [f"column {i:03}" for i in range(500)]).endswith("column 039, ...")


def test_names_are_listed_as_people_count():
    assert suggest("zebra", ["C10", "C9", "B1"]) == "Known: B1, C9, C10."
