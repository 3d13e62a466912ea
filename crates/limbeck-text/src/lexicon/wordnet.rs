mod class;
mod read;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

pub use class::WordClass;

use super::Synonyms;
use super::morphy::visit_base_forms;
use super::string_table::StringTable;

/// Princeton WordNet, read from a folder of its database files (`wndb(5WN)`).
///
/// Words are traced back to the forms that WordNet lists by its rules of morphology, applied as NLTK applies them, so that a word has
/// the synsets that NLTK's `wordnet.synsets` gives, in the same order.
#[derive(Debug, Clone)]
pub struct WordNet {
    /// Listed words in lower case, lemmas in their own case, and irregular forms.
    strings: StringTable,
    /// The senses of string `i` are `senses[sense_starts[i]..sense_starts[i + 1]]`.
    sense_starts: Vec<u32>,
    /// Numbers of synsets; a word's are in the order of the classes, within a class by frequency.
    senses: Vec<u32>,
    synsets: SynsetTable,
    /// Synset, lemma and the lemma opposed to it, by synset.
    antonyms: Vec<Antonym>,
    /// For each class the base forms of irregular ones.
    irregular: [HashMap<u32, Box<[u32]>>; 4],
    missing_exceptions: Vec<WordClass>,
}

/// Synsets of all classes, numbered in the order of the classes and of their files.
#[derive(Debug, Clone, Default)]
struct SynsetTable {
    /// The synsets of class `c` are `class_starts[c]..class_starts[c + 1]`.
    class_starts: Vec<u32>,
    offsets: Vec<u32>,
    kinds: Vec<u8>,
    /// The lemmas of synset `i` are `lemmas[lemma_starts[i]..lemma_starts[i + 1]]`.
    lemma_starts: Vec<u32>,
    lemmas: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Antonym {
    synset: u32,
    lemma: u32,
    opposite: u32,
}

/// A set of words that share a meaning.
#[derive(Debug, Clone, Copy)]
pub struct Synset<'a> {
    source: &'a WordNet,
    number: u32,
}

impl WordNet {
    /// The base forms that WordNet lists for `word` in `class`, `word` itself first where it is listed.
    ///
    /// `word` is looked up in lower case. Without exception lists ([`missing_exceptions`](Self::missing_exceptions)) irregular
    /// words have no other form than themselves.
    pub fn base_forms(&self, word: &str, class: WordClass) -> Vec<&str> {
        let mut forms = Vec::new();
        self.find_base_forms(&lower(word), class, &mut forms);
        forms
            .into_iter()
            .map(|form| self.strings.string(form))
            .collect()
    }

    /// The synsets of `word` in all classes: nouns, verbs, adjectives, adverbs; within a class by base form, then by frequency.
    ///
    /// `word` is looked up in lower case; words of several parts are joined by `_`. None for an unknown word.
    pub fn synsets(&self, word: &str) -> Vec<Synset<'_>> {
        let mut synsets = Vec::new();
        self.visit_synsets(word, |number| {
            synsets.push(Synset {
                source: self,
                number,
            })
        });
        synsets
    }

    /// What [`synonyms`](Synonyms::synonyms) gives, without copies.
    pub fn synonyms_of(&self, word: &str) -> Vec<&str> {
        let mut lemmas: Vec<u32> = Vec::new();
        self.visit_synsets(word, |synset| {
            for &lemma in self.synsets.lemmas(synset) {
                if !lemmas.contains(&lemma) {
                    lemmas.push(lemma);
                }
            }
        });
        let others = lemmas.into_iter().map(|lemma| self.strings.string(lemma));
        others.filter(|&lemma| lemma != word).collect()
    }

    /// The lemmas opposed to `word`'s own lemmas, each once: `hot` for `cold`, and for `colder`; none for an unknown word.
    pub fn antonyms(&self, word: &str) -> Vec<&str> {
        let lower = lower(word);
        let mut forms = Vec::new();
        for class in WordClass::ALL {
            self.find_base_forms(&lower, class, &mut forms);
        }
        let mut opposites: Vec<u32> = Vec::new();
        self.visit_synsets(word, |synset| {
            let start = self
                .antonyms
                .partition_point(|antonym| antonym.synset < synset);
            let of_synset = self.antonyms[start..]
                .iter()
                .take_while(|antonym| antonym.synset == synset);
            for antonym in of_synset {
                let spelling = super::wordnet::lower(self.strings.string(antonym.lemma));
                let is_own = forms
                    .iter()
                    .any(|&form| self.strings.string(form) == spelling);
                if is_own && !opposites.contains(&antonym.opposite) {
                    opposites.push(antonym.opposite);
                }
            }
        });
        opposites
            .into_iter()
            .map(|lemma| self.strings.string(lemma))
            .collect()
    }

    /// Every pair of different lemmas that share a synset, each pair once in one of its two orders, in the order of the files.
    pub fn synonym_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = (0..self.synsets.len()).flat_map(|synset| {
            let lemmas = self.synsets.lemmas(synset);
            lemmas.iter().enumerate().flat_map(move |(place, &first)| {
                lemmas[place + 1..]
                    .iter()
                    .map(move |&second| (first, second))
            })
        });
        self.distinct(all)
    }

    /// Every pair of lemmas that WordNet opposes directly, each pair once in one of its two orders, in the order of the files.
    pub fn antonym_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.distinct(
            self.antonyms
                .iter()
                .map(|antonym| (antonym.lemma, antonym.opposite)),
        )
    }

    /// The classes whose exception list (`noun.exc`, ..) was not in the folder: their irregular forms are not traced back.
    pub fn missing_exceptions(&self) -> &[WordClass] {
        &self.missing_exceptions
    }

    /// How many synsets there are.
    pub fn synset_count(&self) -> usize {
        self.synsets.len() as usize
    }

    fn distinct<'a>(
        &'a self,
        pairs: impl Iterator<Item = (u32, u32)> + 'a,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let mut seen = HashSet::new();
        pairs
            .filter(move |&(first, second)| {
                first != second && seen.insert((first.min(second), first.max(second)))
            })
            .map(|(first, second)| (self.strings.string(first), self.strings.string(second)))
    }

    fn visit_synsets(&self, word: &str, mut visit: impl FnMut(u32)) {
        let word = lower(word);
        let mut forms = Vec::new();
        for class in WordClass::ALL {
            forms.clear();
            self.find_base_forms(&word, class, &mut forms);
            for &form in &forms {
                self.senses(form, class)
                    .iter()
                    .for_each(|&synset| visit(synset));
            }
        }
    }

    /// Adds the strings that are listed for `word`, each once.
    fn find_base_forms(&self, word: &str, class: WordClass, forms: &mut Vec<u32>) {
        let exceptions = &self.irregular[class as usize];
        let listed = self
            .strings
            .get(word)
            .and_then(|number| exceptions.get(&number));
        let irregular = listed.map(|forms| forms.iter().map(|&form| self.strings.string(form)));
        visit_base_forms(word, class, irregular, |form| {
            if let Some(number) = self.strings.get(form)
                && !self.senses(number, class).is_empty()
                && !forms.contains(&number)
            {
                forms.push(number);
            }
        });
    }

    /// The synsets of one class that a string is listed for.
    fn senses(&self, string: u32, class: WordClass) -> &[u32] {
        let range = self.sense_starts[string as usize] as usize
            ..self.sense_starts[string as usize + 1] as usize;
        let senses = &self.senses[range];
        let of_class = self.synsets.of_class(class);
        let start = senses.partition_point(|&synset| synset < of_class.start);
        let end = senses.partition_point(|&synset| synset < of_class.end);
        &senses[start..end]
    }
}

impl Synonyms for WordNet {
    /// The lemmas of all synsets of `word`, in their order, without those spelt exactly as `word`.
    fn synonyms(&self, word: &str) -> Vec<String> {
        self.synonyms_of(word)
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

impl SynsetTable {
    fn len(&self) -> u32 {
        self.offsets.len() as u32
    }

    fn lemmas(&self, synset: u32) -> &[u32] {
        let synset = synset as usize;
        &self.lemmas[self.lemma_starts[synset] as usize..self.lemma_starts[synset + 1] as usize]
    }

    fn of_class(&self, class: WordClass) -> Range<u32> {
        self.class_starts[class as usize]..self.class_starts[class as usize + 1]
    }

    /// The synset of a class at an offset of its file.
    fn find(&self, class: WordClass, offset: u32) -> Option<u32> {
        let of_class = self.of_class(class);
        let offsets = &self.offsets[of_class.start as usize..of_class.end as usize];
        let place = offsets.binary_search(&offset).ok()?;
        Some(of_class.start + place as u32)
    }
}

impl<'a> Synset<'a> {
    /// Its place in the class's data file, in bytes: what other resources know it by.
    pub fn offset(&self) -> u32 {
        self.source.synsets.offsets[self.number as usize]
    }

    /// `n`, `v`, `a` (adjective), `s` (satellite of an adjective) or `r`.
    pub fn kind(&self) -> char {
        char::from(self.source.synsets.kinds[self.number as usize])
    }

    /// Its words, most frequent first; capitalised where they are names, with `_` where they are several words.
    pub fn lemmas(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let source = self.source;
        let lemmas = source.synsets.lemmas(self.number).iter();
        lemmas.map(|&lemma| source.strings.string(lemma))
    }
}

fn lower(word: &str) -> Cow<'_, str> {
    let is_lower = word
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_lower {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(word.to_lowercase())
    }
}
