"""Times TextAttack 0.3.11 on one piece of work and prints a JSON record with what it found.

    python scripts/bench/textattack_bench.py --work deep-word-bug --model MODEL --data SST-2/dev.tsv --examples 200 \
        --wordnet /usr/share/wordnet --tagger NLTK-PERCEPTRON --stop-words STOP-WORDS.txt [--vectors DIR] [--encoder MINILM]

The other side of `scripts/bench/attack_speed.py`. TextAttack is `pip install --no-deps textattack==0.3.11` beside the packages of
`scripts/reference/setup.sh` and of `scripts/bench/textattack_requirements.txt`. Packages which the measured recipes do not use
(flair, bert_score, language_tool_python, OpenHowNet, pinyin) are replaced by empty modules. It runs offline: NLTK's data folder
is made from Debian's WordNet, a stop-word list and the tagger's JSON files; word vectors are limbeck's (`vectors.npy`,
`words.txt`, `neighbours.npy` in DIR) instead of the ones that it downloads; the sentence encoder is a MiniLM with mean pooling.
`--max-length` 512 is how TextAttack pads as people run it; a short one, such as 64, is its best setting for short sentences.
"""

import argparse
import importlib.machinery
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import time
import types

ABSENT = ("flair", "flair.data", "flair.models", "flair.nn", "flair.embeddings", "bert_score", "language_tool_python", "OpenHowNet", "pinyin")
ATTACKS = ("deep-word-bug", "pruthi", "text-fooler")
AUGMENTERS = ("augment-wordnet", "augment-embedding", "augment-char-swap")


class Absent(types.ModuleType):
    """A module that has every name and does nothing."""

    def __init__(self, name):
        super().__init__(name)
        self.__path__ = []
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return sys.modules.get(f"{self.__name__}.{name}") or type(name, (), {})


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", required=True, choices=ATTACKS + AUGMENTERS)
    parser.add_argument("--model", help="classifier in Hugging Face form")
    parser.add_argument("--data", required=True, help="SST-2 tsv")
    parser.add_argument("--examples", type=int, default=200)
    parser.add_argument("--wordnet", help="folder of WordNet's dictionary files")
    parser.add_argument("--tagger", help="folder of NLTK's perceptron in JSON, with en-ptb.map")
    parser.add_argument("--stop-words", required=True)
    parser.add_argument("--vectors", help="folder with vectors.npy, words.txt, neighbours.npy")
    parser.add_argument("--encoder", help="sentence encoder in Hugging Face form")
    parser.add_argument("--threshold", type=float, default=0.840845057, help="of the sentence similarity in TextFooler")
    parser.add_argument("--max-length", type=int, default=512, help="tokens that every query is padded to")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="which seconds are counted")
    parser.add_argument("--seed", type=int, default=765)
    return parser.parse_args()


def nltk_folder(args):
    """A folder as NLTK wants it, from the files there are."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nltk-"))
    (folder / "corpora/stopwords").mkdir(parents=True)
    shutil.copy(args.stop_words, folder / "corpora/stopwords/english")
    if args.wordnet:
        wordnet = folder / "corpora/wordnet"
        shutil.copytree(args.wordnet, wordnet)
        # Names of lexicographer files; NLTK wants 45 of them and the recipes use none.
        (wordnet / "lexnames").write_text("".join(f"{i:02}\tfile.{i:02}\t1\n" for i in range(45)))
        (wordnet / "index.sense").touch()
        (folder / "corpora/omw-1.4").mkdir()
    if args.tagger:
        tagger = folder / "taggers/averaged_perceptron_tagger_eng"
        tagger.mkdir(parents=True)
        for file in pathlib.Path(args.tagger).glob("*.json"):
            shutil.copy(file, tagger / file.name)
        (folder / "taggers/universal_tagset").mkdir()
        shutil.copy(pathlib.Path(args.tagger) / "en-ptb.map", folder / "taggers/universal_tagset/en-ptb.map")
    return folder


def rows(args):
    lines = pathlib.Path(args.data).read_text(encoding="utf-8").splitlines()[1:]
    pairs = [line.rsplit("\t", 1) for line in lines[: args.examples]]
    return [(text, int(label)) for text, label in pairs]


def embedding(args):
    import numpy
    from textattack.shared import WordEmbedding

    folder = pathlib.Path(args.vectors)
    words = (folder / "words.txt").read_text(encoding="utf-8").split("\n")
    words = words[:-1] if words[-1] == "" else words
    index = {word: i for i, word in enumerate(words)}
    vectors = numpy.load(folder / "vectors.npy")
    # TextAttack's table begins with the word itself.
    table = numpy.load(folder / "neighbours.npy").astype("int64")
    table = numpy.concatenate([numpy.arange(len(words))[:, None], table], axis=1)
    return WordEmbedding(vectors, index, dict(enumerate(words)), table)


def sentence_encoder(folder, **settings):
    import torch
    import transformers
    from textattack.constraints.semantics.sentence_encoders import SentenceEncoder

    class MiniLm(SentenceEncoder):
        def __init__(self):
            super().__init__(**settings)
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            self.model = transformers.AutoModel.from_pretrained(folder).eval()

        def encode(self, sentences):
            inputs = self.tokenizer(sentences, padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.inference_mode():
                hidden = self.model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1)
            return (hidden * mask).sum(1) / mask.sum(1)

    return MiniLm()


def attack(args):
    import textattack
    import transformers
    from textattack.attack_recipes import DeepWordBugGao2018, Pruthi2019, TextFoolerJin2019
    from textattack.constraints.grammaticality import PartOfSpeech
    from textattack.constraints.pre_transformation import InputColumnModification, RepeatModification, StopwordModification
    from textattack.constraints.semantics import WordEmbeddingDistance
    from textattack.goal_functions import UntargetedClassification
    from textattack.search_methods import GreedyWordSwapWIR
    from textattack.transformations import WordSwapEmbedding

    tokenizer = transformers.AutoTokenizer.from_pretrained(args.model, model_max_length=args.max_length)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(args.model).eval()
    wrapper = textattack.models.wrappers.HuggingFaceModelWrapper(model, tokenizer)
    if args.work == "deep-word-bug":
        return DeepWordBugGao2018.build(wrapper)
    if args.work == "pruthi":
        return Pruthi2019.build(wrapper)
    # TextFooler's recipe with the vectors and the encoder that can be had; its own are only downloaded.
    import inspect

    vectors = embedding(args)
    source = inspect.getsource(TextFoolerJin2019.build)
    listed = source[source.index("stopwords = set(") + len("stopwords = set(") :]
    stop_words = set(json.loads(listed[listed.index("[") : listed.index("]") + 1]))
    constraints = [
        RepeatModification(),
        StopwordModification(stopwords=stop_words),
        InputColumnModification(["premise", "hypothesis"], {"premise"}),
        WordEmbeddingDistance(embedding=vectors, min_cos_sim=0.5),
        PartOfSpeech(allow_verb_noun_swap=True),
        sentence_encoder(
            args.encoder,
            threshold=args.threshold,
            metric="angular",
            compare_against_original=False,
            window_size=15,
            skip_text_shorter_than_window=True,
        ),
    ]

    class WordsOnly(WordSwapEmbedding):
        """Leaves out neighbours that are no word, such as `--`: TextAttack's own vectors have none, and fails on them."""

        def _get_replacement_words(self, word):
            return [other for other in super()._get_replacement_words(word) if textattack.shared.utils.is_one_word(other)]

    transformation = WordsOnly(max_candidates=50, embedding=vectors)
    return textattack.Attack(UntargetedClassification(wrapper), constraints, transformation, GreedyWordSwapWIR("delete"))


def run_attack(args, data):
    from textattack.attack_results import SkippedAttackResult, SuccessfulAttackResult

    attack_ = attack(args)
    found = []
    started = clock(args)
    for text, label in data:
        result = attack_.attack(text, label)
        kind = "skipped" if isinstance(result, SkippedAttackResult) else "succeeded" if isinstance(result, SuccessfulAttackResult) else "failed"
        found.append({"outcome": kind, "text": result.perturbed_text(), "queries": result.num_queries})
    return clock(args) - started, found


def clock(args):
    return time.process_time() if args.clock == "processor" else time.perf_counter()


def run_augmenter(args, data):
    from textattack.augmentation import CharSwapAugmenter, EmbeddingAugmenter, WordNetAugmenter

    settings = {"pct_words_to_swap": 0.2, "transformations_per_example": 2}
    if args.work == "augment-wordnet":
        augmenter = WordNetAugmenter(**settings)
    elif args.work == "augment-char-swap":
        augmenter = CharSwapAugmenter(**settings)
    else:
        from textattack.shared.word_embeddings import WordEmbedding

        vectors = embedding(args)
        WordEmbedding.counterfitted_GLOVE_embedding = staticmethod(lambda: vectors)
        augmenter = EmbeddingAugmenter(**settings)
    started = clock(args)
    found = [augmenter.augment(text) for text, _ in data]
    return clock(args) - started, found


def main():
    args = arguments()
    os.environ["NLTK_DATA"] = str(nltk_folder(args))
    for name in ABSENT:
        sys.modules[name] = Absent(name)
    import nltk

    nltk.download = lambda *_, **__: True
    import numpy
    import textattack
    import torch

    torch.set_num_threads(args.threads)
    random.seed(args.seed)
    numpy.random.seed(args.seed)
    torch.manual_seed(args.seed)
    data = rows(args)
    seconds, found = run_attack(args, data) if args.work in ATTACKS else run_augmenter(args, data)
    record = {"work": args.work, "rows": len(data), "seconds": seconds, "per_second": len(data) / seconds}
    if args.work in ATTACKS:
        for outcome in ("succeeded", "failed", "skipped"):
            record[outcome] = sum(result["outcome"] == outcome for result in found)
        record["queries"] = sum(result["queries"] for result in found)
    else:
        record["outputs"] = sum(map(len, found))
    record |= {"max_length": args.max_length, "threads": args.threads, "textattack": "0.3.11", "torch": torch.__version__, "found": found}
    print(json.dumps(record))


if __name__ == "__main__":
    main()
