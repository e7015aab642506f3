"""Models of a text: of characters, with what it writes as it learns, several together; and of words, with their nearest neighbours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import chainrule
from chainrule.core.events import Sampled
from chainrule.core.registry import recipes
from chainrule.core.text import shown, visible
from chainrule.observe.neighbours import nearest
from chainrule.recipes.image_recognition import quick
from chainrule.recipes.outcome import Figure, Outcome, Setting
from chainrule.recipes.texts import sentences, shakespeare
from chainrule.workflows.ensemble import committee
from chainrule.workflows.run import Run

KARPATHY = "Karpathy (2015), http://karpathy.github.io/2015/05/21/rnn-effectiveness/"
BENGIO = "Bengio et al. (2003), https://jmlr.org/papers/v3/bengio03a.html"
AIM = 1.50          # nats a character, asked of two cores in a quarter of an hour
SECONDS = 900
CHARACTERS: dict[str, Any] = {"net": "lstm:hidden=512,dropout=0.5", "optimizer": "adam:rate=0.004", "schedule": "cosine", "batch": 16,
                              "split": "train=0.9,valid=0.1,test=0", "seconds": SECONDS}
WORDS: dict[str, Any] = {"tokens": "words:3000", "net": "embedding:size=48,hidden=128,context=4", "optimizer": "adam:rate=0.003",
                         "schedule": "cosine", "epochs": 8}
SHORT: dict[str, Any] = {"epochs": 2, "rule": "bptt:window=16", "batch": 16, "plan": "eager"}
SHOWN = 60          # symbols of a sample in the table
KINDS = {           # words of which it is plain what they are
    "persons": "I thou he she we they you ye who", "possessives": "my thy his her our their your mine thine",
    "objects": "me thee him us them", "modals": "shall will may can must would should could might",
    "being": "is are was were be been am art", "prepositions": "in on with from by for to of upon at",
    "conjunctions": "and but or nor if when that as", "kin": "father mother son brother sister daughter wife husband",
    "titles": "king queen prince duke lord lady sir", "numbers": "one two three ten twenty hundred thousand"}


@recipes("character-model", source=KARPATHY)
def character_model(setting: Setting) -> Outcome:
    """An LSTM along tiny Shakespeare for a quarter of an hour, what it writes after some steps, and several of them averaged.

    The first nine tenths of the text are learned from, the last tenth is what is foretold. The short form learns a little of the
    standard library's documentation.
    """
    text = _text(setting)
    options = {**CHARACTERS, "seconds": None, **SHORT, "net": "lstm:hidden=16"} if setting.short else quick(CHARACTERS)
    seeds = range(2 if setting.short else setting.seeds)
    runs = [_trained(setting, text, options, seed) for seed in seeds]
    nats = [run.valid.measures["nats"] for run in runs]
    goal: Any = "none" if setting.short else "at most"
    figures = [Figure("nats a character on the validation part after 15 minutes", nats[0].value, nats[0].low, nats[0].high, AIM, KARPATHY,
                      goal)]
    notes = [f"seed {seed}: {one.value:.4f} nats on {len(run.job.data.valid):,} windows after {run.summary()['steps']:,} steps"
             for seed, one, run in zip(seeds, nats, runs, strict=True)]
    if len(runs) > 1:
        judged = committee(*runs, out=setting.out / "committee").standing()
        best = judged.pairs[judged.best]
        figures.append(Figure(f"nats of {len(runs)} averaged less the best one's", judged.score - judged.scores[judged.best],
                              best.difference.low, best.difference.high))
        notes.append(best.verdict)
    table = [["after step", "writes"], *([f"{event.step:,}", visible(one).replace("\n", "")[:SHOWN]] for event in runs[0].events
                                         if isinstance(event, Sampled) for one in event.texts)]
    return Outcome(figures, table if len(table) > 1 else [], notes)


@recipes("next-word", source=BENGIO)
def next_word(setting: Setting) -> Outcome:
    """Words by vectors that name the next one: how often the nearest neighbour of a word is one of its kind, and the surprise at a word.

    Kinds are ten short lists of words, persons, modals, kin and the like, of which those that the vocabulary has are counted.
    """
    text = _text(setting)
    options = {**WORDS, **SHORT, "net": "embedding:size=8,hidden=16,context=3"} if setting.short else WORDS
    run = _trained(setting, text, options, 0)
    known = run.trained.encoder.inputs.vocabulary
    assert known is not None
    place = {word: known.symbols.index(f" {word}") for words in KINDS.values() for word in words.split() if f" {word}" in known.symbols}
    kind = {word: name for name, words in KINDS.items() for word in words.split()}
    words = list(place)
    vectors = run.net.vectors().detach()[[place[word] for word in words]]  # type: ignore[operator]
    others, cosines = nearest(vectors, 3)
    right = [kind[words[int(other)]] == kind[word] for word, other in zip(words, others[:, 0], strict=True)]
    chance = sum(sum(kind[b] == kind[a] for b in words) - 1 for a in words) / (len(words) * (len(words) - 1))
    result = run.valid
    rows = [[word, kind[word], ", ".join(f"{words[j]} {c:.2f}" for j, c in zip(near.tolist(), how.tolist(), strict=True))]
            for word, near, how in zip(words, others, cosines, strict=True)]
    share = sum(right) / len(right)
    unigram = result.baseline.measures["nats"].value if result.baseline is not None else float("nan")
    return Outcome([Figure("share of words whose nearest neighbour is of their kind", share),
                    Figure("that of neighbours drawn at random", chance),
                    Figure("nats a word on the validation part", result.measures["nats"].value, result.measures["nats"].low,
                           result.measures["nats"].high),
                    Figure("those of the unigram", unigram)],
                   [["word", "kind", "nearest of the words listed"], *rows],
                   [f"{len(words)} words of {len(KINDS)} kinds; perplexity {shown(result.measures['perplexity'].value)}"])


def _text(setting: Setting) -> Path:
    """Tiny Shakespeare, or in the short form documentation, written beside the runs."""
    if not setting.short:
        return shakespeare(setting.data_dir)
    path = setting.out / "documentation.txt"
    path.write_text("\n".join(sentence for _, sentence in sentences(("logging", "email")))[:30_000], encoding="utf-8")
    return path


def _trained(setting: Setting, text: Path, options: dict[str, Any], seed: int) -> Run:
    setting.say(f"{options['net']}, seed {seed}")
    run: Run = chainrule.train(text, **options, seed=seed, out=setting.out / f"seed-{seed}", progress=False)
    return run
