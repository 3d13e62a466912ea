//! `limbeck attack`: how a model stands up to edited texts.

mod record;
mod settings;
mod victim;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use indicatif::ProgressBar;
use limbeck_attack::{
    Attack, AttackError, Case, Cost, Event, Goal, Outcome, RunConfig, Victim, run as run_attack,
};
use limbeck_report::{
    AttackMetrics, AttackOutcome, AttackRun, AttackSummary, AttackTotals, FinishedAttack, Input,
    Provenance, RunState, attack_page, hash_input,
};
use limbeck_text::edit::WordText;
use limbeck_text::{Example, Resources};

use crate::cli::AttackArgs;
use crate::commands::inputs::{NamedSet, Sets};
use crate::commands::resources::{Resource, Store, hash_lists, open_required};
use crate::commands::run::provenance;
use crate::environment::{device, style};
use crate::interrupt;
use crate::settings::{BadSettings, RunFile, max_tokens, seconds};
use record::record;
use settings::{AttackSettings, NamedAttack};
use victim::Opened;

/// Digits of a file's hash that stand beside its name; `provenance.json` has them all.
const DIGEST_SHOWN: usize = 12;

/// Runs the command.
pub(crate) fn run(args: &AttackArgs, quiet: bool) -> anyhow::Result<()> {
    let attacks = NamedAttack::all(args)?;
    let file = RunFile::read(&args.data, &args.overrides)?;
    let device = device(args.device)?;
    let max_tokens = max_tokens(
        args.max_tokens,
        args.model.as_deref(),
        file.train.max_tokens,
    );
    let opened = Opened::open(args, &file, max_tokens, quiet)?;
    let (sets, _) = Sets::open_for_scoring(&file.data, &opened.target, None)?;
    let set = chosen(sets, args.split.as_deref())?;
    if set.map.is_some() {
        let problem = format!(
            "`label-map` of `{}`: attacks need a set with the model's own labels; choose another with `--split`",
            set.name
        );
        return Err(BadSettings::new(problem).into());
    }
    let cases = cases(&set, &args.pair_columns)?;
    if args.offset >= cases.len() as u64 {
        let (offset, name, count) = (args.offset, &set.name, cases.len());
        let problem = format!("`--offset`: found {offset}, but `{name}` has {count} examples");
        return Err(BadSettings::new(problem).into());
    }
    let (resources, files) = open_resources(args, &attacks, &device)?;
    let cost = Cost {
        query_budget: args.query_budget,
        time_limit: args
            .time_limit_s
            .map(|limit| seconds("--time-limit-s", limit))
            .transpose()?,
    };
    let mut built = Vec::new();
    for named in attacks {
        if let Goal::Targeted { label } = named.config.goal
            && label as usize >= opened.labels.len()
        {
            return Err(BadSettings::new(format!(
                "`{}`: `goal.targeted.label`: found {label}, expected the number of one of the labels {:?}, counted from 0",
                named.name, opened.labels
            ))
            .into());
        }
        let attack = named
            .config
            .build(&resources, opened.gradients.clone(), cost);
        let attack = attack.map_err(|error| match error {
            AttackError::Setting(_) | AttackError::NoGradients => {
                BadSettings::new(format!("`{}`: {error}", named.name)).into()
            }
            error => anyhow::Error::from(error),
        })?;
        built.push((named, attack));
    }

    interrupt::listen();
    let mut inputs: BTreeMap<String, Input> = opened.inputs.clone();
    inputs.insert(set.name.clone(), hash_input(&set.spec.path)?);
    let single = built.len() == 1;
    let mut finished = Vec::new();
    for (named, attack) in &built {
        let mut inputs = with_resources(&inputs, &files, named);
        let word_list = args.word_list.as_deref();
        inputs.extend(hash_lists(word_list, &named.config.files())?);
        let work = Work {
            args,
            settings: AttackSettings::new(args, &file, &set.name, max_tokens, named),
            out: if single {
                args.out.clone()
            } else {
                args.out.join(&named.name)
            },
            labels: &opened.labels,
            task: &file.task,
            split: &set.name,
            name: &named.name,
            victim_name: &opened.name,
            cases: &cases,
            resources: resource_names(&resources, &files, named),
            provenance: provenance(args.seed, &device, inputs),
            quiet,
        };
        finished.push(work.attack(attack, &*opened.victim)?);
    }
    print(&finished, args.json)
}

/// The set of that name, or the first.
fn chosen(sets: Vec<NamedSet>, name: Option<&str>) -> anyhow::Result<NamedSet> {
    let names: Vec<String> = sets.iter().map(|set| set.name.clone()).collect();
    let mut sets = sets.into_iter();
    let found = match name {
        Some(name) => sets.find(|set| set.name == name),
        None => sets.next(),
    };
    found.ok_or_else(|| {
        let found = name.unwrap_or_default();
        BadSettings::new(format!(
            "`--split`: found `{found}`, expected one of {names:?}"
        ))
        .into()
    })
}

fn cases(set: &NamedSet, pair_columns: &[String]) -> anyhow::Result<Vec<Case>> {
    let [first, second] = pair_columns else {
        let problem = format!("`--pair-columns`: found {pair_columns:?}, expected two names");
        return Err(BadSettings::new(problem).into());
    };
    let case = |example: &Example| {
        let gold = example.label.and_then(limbeck_text::Label::class);
        let gold = gold.ok_or_else(|| limbeck_text::TextError::Unlabelled {
            path: set.spec.path.clone(),
            missing: set.examples.iter().filter(|e| e.label.is_none()).count(),
            total: set.examples.len(),
        })?;
        Ok(Case {
            id: example.id,
            text: WordText::from_text(&example.text, (first, second)),
            gold,
        })
    };
    set.examples.iter().map(case).collect()
}

/// The files and folders of resources, with their hashes.
type ResourceFiles = BTreeMap<limbeck_text::Resource, Input>;

/// What the attacks need, opened once for all; the models pooled, as hundreds of examples ask them at once.
fn open_resources(
    args: &AttackArgs,
    attacks: &[NamedAttack],
    device: &candle_core::Device,
) -> anyhow::Result<(Resources, ResourceFiles)> {
    let required: BTreeSet<_> = attacks
        .iter()
        .flat_map(|named| named.config.required())
        .collect();
    let required: Vec<_> = required.into_iter().collect();
    let store = Store::new(&args.resources);
    let stated = settings::resource_settings(args);
    let opened = open_required(&required, Resource::CounterFitted, &stated, &store, device)?;
    let files = opened.hashed()?;
    Ok((opened.pooled()?, files))
}

/// What an attack reads: the inputs of all, and its own resources.
fn with_resources(
    inputs: &BTreeMap<String, Input>,
    files: &ResourceFiles,
    named: &NamedAttack,
) -> BTreeMap<String, Input> {
    let required = named.config.required().into_iter();
    let own = required.filter_map(|kind| Some((kind.name().to_owned(), files.get(&kind)?.clone())));
    inputs.clone().into_iter().chain(own).collect()
}

/// What an attack used, by the part each played.
fn resource_names(
    resources: &Resources,
    files: &ResourceFiles,
    named: &NamedAttack,
) -> BTreeMap<String, String> {
    use limbeck_text::Resource as Kind;
    let name = |kind| match kind {
        Kind::Tagger => resources
            .tagger
            .as_ref()
            .map(|tagger| tagger.name().to_owned()),
        Kind::MaskedLm => resources
            .masked_lm
            .as_ref()
            .map(|model| model.name().to_owned()),
        Kind::SentenceEncoder => {
            let encoder = resources.sentence_encoder.as_ref();
            encoder.map(|encoder| encoder.name().to_owned())
        }
        // These have no name of their own: their place, and what tells them from others at that place.
        Kind::WordNet | Kind::WordVectors => files.get(&kind).map(|input| {
            let digest = input.sha256.get(..DIGEST_SHOWN).unwrap_or(&input.sha256);
            format!("{}, SHA-256 {digest}", input.path.display())
        }),
    };
    let required = named.config.required().into_iter();
    required
        .filter_map(|kind| Some((kind.name().to_owned(), name(kind)?)))
        .collect()
}

/// One attack on one set.
struct Work<'a> {
    args: &'a AttackArgs,
    settings: AttackSettings,
    out: PathBuf,
    labels: &'a [String],
    task: &'a str,
    split: &'a str,
    name: &'a str,
    victim_name: &'a str,
    cases: &'a [Case],
    resources: BTreeMap<String, String>,
    provenance: Provenance,
    quiet: bool,
}

impl Work<'_> {
    fn attack(&self, attack: &Attack, victim: &dyn Victim) -> anyhow::Result<FinishedAttack> {
        if RunState::of(&self.out)? == RunState::Finished {
            return self.already_finished();
        }
        let mut run = AttackRun::open(&self.out, &self.settings, &self.provenance)?;
        let known = self.known(&run);
        if !known.is_empty() {
            tracing::info!(
                "{}: going on after {} examples",
                self.out.display(),
                known.len()
            );
        }
        let begun = Instant::now();
        let worklist = settings::worklist(self.args);
        let count = worklist.at_most(self.cases.len());
        let mut tally = Tally::new(self.name, count, known.values(), self.quiet);
        let mut broken = Vec::new();
        let config = RunConfig {
            worklist,
            seed: self.args.seed,
            in_flight: self.args.in_flight,
            batch: self.args.batch,
        };
        let included = run_attack(attack, victim, self.cases, &config, &known, &mut |event| {
            match event {
                Event::Answered { texts } => tally.asked(texts),
                Event::Attacked { index, result } => match result {
                    Ok(result) => {
                        tally.ended(Some(result.outcome));
                        run.append(record(&self.cases[index], &result))?;
                    }
                    Err(error) => {
                        tally.ended(None);
                        broken.push((self.cases[index].id, error.to_string()));
                    }
                },
            }
            Ok(!interrupt::asked())
        });
        let included = included.map_err(anyhow::Error::from_boxed)?;
        tally.bar.finish_and_clear();
        if interrupt::asked() {
            let done = run.known().len();
            let text =
                format!("stopped after {done} examples; run the same command again to go on");
            return Err(interrupt::Stopped(text).into());
        }
        if let Some((id, error)) = broken.first() {
            anyhow::bail!(
                "{} of {} examples could not be attacked; example {id}: {error}; the other results are kept, run the same command again to try these again",
                broken.len(),
                count,
            );
        }
        let ids = included.iter().map(|&index| self.cases[index].id).collect();
        let seconds = begun.elapsed().as_secs_f64();
        let metrics = |records: &[limbeck_report::AttackRecord]| {
            self.metrics(
                &records.iter().map(Into::into).collect::<AttackTotals>(),
                &tally,
                seconds,
            )
        };
        let page = |records: &[limbeck_report::AttackRecord]| {
            attack_page(&metrics(records), records).to_html()
        };
        Ok(run.finish(&ids, page, metrics)?)
    }

    fn metrics(&self, totals: &AttackTotals, tally: &Tally, seconds: f64) -> AttackMetrics {
        AttackMetrics {
            task: self.task.to_owned(),
            victim: self.victim_name.to_owned(),
            attack: self.name.to_owned(),
            split: self.split.to_owned(),
            labels: self.labels.to_vec(),
            resources: self.resources.clone(),
            summary: totals.summary(),
            examples_per_s: tally.session as f64 / seconds,
            queries_per_s: tally.queries as f64 / seconds,
            wall_time_s: seconds,
        }
    }

    /// Outcomes from before an interruption, by place.
    fn known(&self, run: &AttackRun) -> BTreeMap<usize, Outcome> {
        let outcome = |(index, case): (usize, &Case)| {
            let record = run.known().get(&case.id)?;
            let outcome = match record.outcome {
                AttackOutcome::Succeeded => Outcome::Succeeded,
                AttackOutcome::Failed => Outcome::Failed,
                AttackOutcome::Skipped => Outcome::Skipped,
            };
            Some((index, outcome))
        };
        self.cases.iter().enumerate().filter_map(outcome).collect()
    }

    /// A finished attack is never changed; asked for the same again, there is nothing to do.
    fn already_finished(&self) -> anyhow::Result<FinishedAttack> {
        let out = self.out.display();
        let finished = FinishedAttack::open(&self.out)?;
        finished
            .check_same(&self.settings, &self.provenance)
            .with_context(|| {
                format!("{out}: holds a finished attack with other settings or inputs; choose another `--out`, or remove the folder")
            })?;
        finished.tidy();
        tracing::info!("{out}: already finished; nothing to do");
        Ok(finished)
    }
}

/// What the bar shows.
struct Tally {
    bar: ProgressBar,
    begun: Instant,
    succeeded: u64,
    failed: u64,
    skipped: u64,
    /// Examples of this session.
    session: u64,
    queries: u64,
}

impl Tally {
    fn new<'a>(
        label: &str,
        count: usize,
        known: impl Iterator<Item = &'a Outcome>,
        quiet: bool,
    ) -> Self {
        let bar = crate::progress::example_bar(label, count, quiet);
        bar.set_style(style("{prefix} {bar:30} {pos}/{len}, {msg}, {eta} left"));
        let mut tally = Self {
            bar,
            begun: Instant::now(),
            succeeded: 0,
            failed: 0,
            skipped: 0,
            session: 0,
            queries: 0,
        };
        for &outcome in known {
            tally.ended(Some(outcome));
        }
        tally.session = 0;
        tally
    }

    fn asked(&mut self, texts: usize) {
        self.queries += texts as u64;
    }

    fn ended(&mut self, outcome: Option<Outcome>) {
        match outcome {
            Some(Outcome::Succeeded) => self.succeeded += 1,
            Some(Outcome::Failed) => self.failed += 1,
            Some(Outcome::Skipped) => self.skipped += 1,
            None => {}
        }
        self.session += 1;
        self.bar.inc(1);
        let rate = self.queries as f64 / self.begun.elapsed().as_secs_f64().max(1e-9);
        self.bar.set_message(format!(
            "{} succeeded, {} failed, {} skipped, {rate:.0} queries/s",
            self.succeeded, self.failed, self.skipped
        ));
    }
}

#[expect(clippy::print_stdout, reason = "results go to standard output")]
fn print(finished: &[FinishedAttack], as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let metrics: Vec<&AttackMetrics> = finished.iter().map(|run| &run.metrics).collect();
        println!("{}", serde_json::to_string_pretty(&metrics)?);
        return Ok(());
    }
    let rows = finished
        .iter()
        .map(|run| (run.metrics.attack.clone(), &run.metrics.summary));
    print!("{}", AttackSummary::table(rows).to_text());
    for run in finished {
        println!("{}", page_of(&run.path));
    }
    Ok(())
}

fn page_of(folder: &Path) -> String {
    folder.join("index.html").display().to_string()
}
