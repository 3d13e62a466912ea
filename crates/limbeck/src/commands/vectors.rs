//! `limbeck vectors`: word vectors and their neighbours.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use limbeck_model::{
    AntonymShare, Constraints, CounterFitConfig, CounterFitStep, CounterFitSummary, Keep,
    NeighbourList, Ranking, RatedPair, RatingAgreement, VectorStore, WordVectors,
    antonyms_among_neighbours, counter_fit, export_vectors, rating_agreement, read_rated_pairs,
    read_word_pairs,
};
use limbeck_text::lexicon::{WordNeighbours, WordNet};
use serde_json::{Value, json};

use crate::cli::{
    RankingKind, VectorSource, VectorsCommand, VectorsCounterFitArgs, VectorsEvaluateArgs,
    VectorsImportArgs, VectorsNeighboursArgs,
};
use crate::environment::peak_memory_bytes;
use crate::progress::example_bar;
use crate::settings::BadSettings;

/// Numbers of neighbours among which antonyms are counted.
const LOOKED_AT: [usize; 2] = [10, 50];

/// Runs the command.
pub(crate) fn run(command: &VectorsCommand, quiet: bool) -> anyhow::Result<()> {
    match command {
        VectorsCommand::Import(args) => import(args, quiet),
        VectorsCommand::Neighbours(args) => neighbours(args),
        VectorsCommand::CounterFit(args) => fit(args, quiet),
        VectorsCommand::Evaluate(args) => evaluate(args),
        VectorsCommand::Export(args) => {
            let store = open_store(&args.source)?;
            Ok(export_vectors(&store, &args.out, args.neighbours)?)
        }
    }
}

fn import(args: &VectorsImportArgs, quiet: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut vectors = read(&args.source, args.words.map_or(Keep::All, Keep::First))?;
    if !args.keep_lengths {
        vectors.normalise();
    }
    let ranking = match args.ranking {
        RankingKind::Cosine => Ranking::Cosine,
        RankingKind::Euclidean => Ranking::Euclidean,
    };
    let store = store(&args.out, vectors, ranking, args.neighbours, quiet)?;
    if args.json {
        return print(&described(&store, &args.out, start));
    }
    print_store(&store, &args.out, start)
}

fn neighbours(args: &VectorsNeighboursArgs) -> anyhow::Result<()> {
    let source = open(&args.source)?;
    let mut found = Vec::new();
    for word in &args.words {
        let near = source.neighbours(word, args.neighbours);
        let with_cosines: Vec<(&str, Option<f32>)> = near
            .into_iter()
            .map(|near| (near, source.cosine(word, near)))
            .collect();
        found.push((word, with_cosines));
    }
    if args.json {
        let rows: Vec<Value> = found
            .iter()
            .map(|(word, near)| {
                let near: Vec<Value> = near
                    .iter()
                    .map(|(near, cosine)| json!({ "word": near, "cosine": cosine }))
                    .collect();
                json!({ "word": word, "neighbours": near })
            })
            .collect();
        return print(&json!(rows));
    }
    let mut out = std::io::stdout().lock();
    for (word, near) in &found {
        if near.is_empty() {
            tracing::warn!("`{word}`: no neighbours are known");
        }
        for (near, cosine) in near {
            let cosine = cosine.map_or_else(String::new, |cosine| format!("\t{cosine:.4}"));
            writeln!(out, "{word}\t{near}{cosine}")?;
        }
    }
    Ok(())
}

fn evaluate(args: &VectorsEvaluateArgs) -> anyhow::Result<()> {
    let rated = args.simlex.as_deref().map(read_rated_pairs).transpose()?;
    let antonyms = read_pairs(&args.antonyms)?;
    let store = open_store(&args.source)?;
    let judgement = Judgement::of(&store, rated.as_deref(), &antonyms);
    if args.json {
        return print(&judgement.to_json());
    }
    let mut out = std::io::stdout().lock();
    for (name, value) in judgement.rows() {
        writeln!(out, "{name:<34} {value}")?;
    }
    Ok(())
}

fn fit(args: &VectorsCounterFitArgs, quiet: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    let config = CounterFitConfig {
        antonym_weight: args.antonym_weight,
        synonym_weight: args.synonym_weight,
        preservation_weight: args.preservation_weight,
        antonym_distance: args.antonym_distance,
        synonym_distance: args.synonym_distance,
        radius: args.radius,
        epochs: args.epochs,
    };
    config
        .check()
        .map_err(|error| BadSettings::new(error.to_string()))?;
    if args.synonyms.is_empty() && args.antonyms.is_empty() && args.wordnet.is_none() {
        return Err(BadSettings::new(
            "nothing to fit to; give `--wordnet`, `--synonyms` or `--antonyms`",
        )
        .into());
    }
    let rated = args.simlex.as_deref().map(read_rated_pairs).transpose()?;
    let mut constraints = Constraints {
        synonyms: read_pairs(&args.synonyms)?,
        antonyms: read_pairs(&args.antonyms)?,
    };
    if let Some(folder) = &args.wordnet {
        let wordnet = WordNet::open(folder)?;
        constraints
            .synonyms
            .extend(single_words(wordnet.synonym_pairs()));
        constraints
            .antonyms
            .extend(single_words(wordnet.antonym_pairs()));
    }
    let words = constraints.words();
    let keep = args
        .words
        .map_or(Keep::All, |count| Keep::FirstAnd(count, &words));
    let mut vectors = read(&args.source, keep)?;
    vectors.normalise();
    let antonyms = &constraints.antonyms;
    let before = VectorStore::in_memory(&vectors, Ranking::Cosine)?;
    let before = Judgement::of(&before, rated.as_deref(), antonyms);

    let (fitted, summary) = fit_with_bar(&vectors, &constraints, &config, quiet)?;
    drop(vectors);
    let store = store(&args.out, fitted, Ranking::Cosine, args.neighbours, quiet)?;
    let after = Judgement::of(&store, rated.as_deref(), antonyms);
    if args.json {
        let mut all = described(&store, &args.out, start);
        all["fit"] = json!(summary);
        all["before"] = before.to_json();
        all["after"] = after.to_json();
        return print(&all);
    }
    let mut out = std::io::stdout().lock();
    let CounterFitSummary {
        synonym_pairs,
        antonym_pairs,
        preserved_pairs,
        ..
    } = summary;
    writeln!(
        out,
        "fitted to {synonym_pairs} pairs of synonyms, {antonym_pairs} of antonyms, {preserved_pairs} of near words"
    )?;
    writeln!(out, "{:<34} {:<16} after", "", "before")?;
    for ((name, before), (_, after)) in before.rows().into_iter().zip(after.rows()) {
        writeln!(out, "{name:<34} {before:<16} {after}")?;
    }
    drop(out);
    print_store(&store, &args.out, start)
}

/// The pairs of different words of letters alone, in lower case: vectors know no others.
fn single_words<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> impl Iterator<Item = (String, String)> {
    let is_word = |lemma: &str| lemma.chars().all(char::is_alphabetic);
    pairs
        .filter(move |(first, second)| is_word(first) && is_word(second))
        .map(|(first, second)| (first.to_lowercase(), second.to_lowercase()))
        .filter(|(first, second)| first != second)
}

fn fit_with_bar(
    vectors: &WordVectors,
    constraints: &Constraints,
    config: &CounterFitConfig,
    quiet: bool,
) -> anyhow::Result<(WordVectors, CounterFitSummary)> {
    let search = example_bar("near words", vectors.words().len(), quiet);
    let epochs = example_bar("epochs", config.epochs, quiet);
    let fitted = counter_fit(vectors, constraints, config, &mut |step| match step {
        CounterFitStep::Search { done, .. } => search.set_position(done as u64),
        CounterFitStep::Epoch { epoch, loss } => {
            search.finish_and_clear();
            epochs.set_position(epoch as u64);
            epochs.suspend(|| tracing::info!("epoch {epoch}: objective {loss:.2} before it"));
        }
    });
    search.finish_and_clear();
    epochs.finish_and_clear();
    Ok(fitted?)
}

/// Writes a store with its table of neighbours.
fn store(
    folder: &Path,
    vectors: WordVectors,
    ranking: Ranking,
    neighbours: usize,
    quiet: bool,
) -> anyhow::Result<VectorStore> {
    let mut store = VectorStore::create(folder, &vectors, ranking)
        .with_context(|| format!("writing {}", folder.display()))?;
    drop(vectors);
    if neighbours > 0 {
        let bar = example_bar("neighbours", store.len(), quiet);
        let computed = store.compute_neighbours(neighbours, &|words| bar.inc(words as u64));
        bar.finish_and_clear();
        computed.with_context(|| format!("writing {}", folder.display()))?;
    }
    Ok(store)
}

/// Vectors in memory, from a file or a store.
fn read(source: &VectorSource, keep: Keep<'_>) -> anyhow::Result<WordVectors> {
    if VectorStore::is_in(&source.vectors) {
        return Ok(VectorStore::open(&source.vectors)?.to_vectors(keep)?);
    }
    Ok(WordVectors::open(
        &source.vectors,
        source.word_list.as_deref(),
        keep,
    )?)
}

fn open_store(source: &VectorSource) -> anyhow::Result<VectorStore> {
    if VectorStore::is_in(&source.vectors) {
        return Ok(VectorStore::open(&source.vectors)?);
    }
    let vectors = read(source, Keep::All)?;
    Ok(VectorStore::in_memory(&vectors, Ranking::Cosine)?)
}

/// A store, vectors, or a ready-made list of neighbours.
pub(crate) fn open(source: &VectorSource) -> anyhow::Result<Box<dyn WordNeighbours>> {
    let extension = source.vectors.extension().and_then(|e| e.to_str());
    if matches!(extension, Some("json" | "tsv")) {
        return Ok(Box::new(NeighbourList::open(&source.vectors)?));
    }
    Ok(Box::new(open_store(source)?))
}

fn read_pairs(files: &[PathBuf]) -> anyhow::Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    for file in files {
        pairs.extend(read_word_pairs(file)?);
    }
    Ok(pairs)
}

/// What is found good and bad about vectors.
struct Judgement {
    agreement: Option<RatingAgreement>,
    antonyms: Vec<AntonymShare>,
}

impl Judgement {
    fn of(store: &VectorStore, rated: Option<&[RatedPair]>, antonyms: &[(String, String)]) -> Self {
        let antonyms = if antonyms.is_empty() {
            Vec::new()
        } else {
            antonyms_among_neighbours(store, antonyms, &LOOKED_AT)
        };
        Self {
            agreement: rated.map(|pairs| rating_agreement(store, pairs)),
            antonyms,
        }
    }

    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        if let Some(agreement) = &self.agreement {
            let spearman = agreement
                .spearman
                .map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"));
            rows.push((
                format!(
                    "spearman, {} of {} pairs",
                    agreement.known_pairs, agreement.pairs
                ),
                spearman,
            ));
        }
        for share in &self.antonyms {
            rows.push((
                format!("antonyms among {} nearest", share.neighbours),
                format!("{:.2} %", 100.0 * share.fraction()),
            ));
        }
        rows
    }

    fn to_json(&self) -> Value {
        json!({ "ratings": self.agreement, "antonyms": self.antonyms })
    }
}

fn described(store: &VectorStore, folder: &Path, start: Instant) -> Value {
    json!({
        "store": folder,
        "words": store.len(),
        "dimensions": store.dimensions(),
        "normalised": store.is_normalised(),
        "neighbours": store.stored_neighbours(),
        "sha256": store.digest(),
        "seconds": start.elapsed().as_secs_f64(),
        "peak-memory-bytes": peak_memory_bytes(),
    })
}

fn print_store(store: &VectorStore, folder: &Path, start: Instant) -> anyhow::Result<()> {
    let memory = peak_memory_bytes().map_or_else(String::new, |bytes| {
        format!(", peak memory {} MiB", bytes >> 20)
    });
    writeln!(
        std::io::stdout(),
        "{}: {} words of {} dimensions, {} neighbours each, in {:.1} s{memory}",
        folder.display(),
        store.len(),
        store.dimensions(),
        store.stored_neighbours(),
        start.elapsed().as_secs_f64(),
    )?;
    Ok(())
}

fn print(value: &Value) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{value:#}")?;
    Ok(())
}
