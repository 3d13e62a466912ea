//! What an attack was asked to do, in the form in which a run keeps it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use limbeck_attack::recipes::Recipe;
use limbeck_attack::{AttackConfig, Importance, SearchConfig, Worklist};
use limbeck_text::constraint::ConstraintConfig;
use serde::Serialize;

use crate::cli::{AttackArgs, AverageKind, GanClassesKind, WirScopeKind};
use crate::commands::resources::ResourceSettings;
use crate::settings::{BadSettings, DataSettings, RunFile, read_settings};

/// An attack by name.
pub(super) struct NamedAttack {
    pub(super) name: String,
    pub(super) config: AttackConfig,
}

impl NamedAttack {
    /// Every attack asked for.
    pub(super) fn all(args: &AttackArgs) -> anyhow::Result<Vec<Self>> {
        let attacks: Vec<Self> = args
            .recipes
            .iter()
            .map(|recipe| Self::read(recipe, args))
            .collect::<anyhow::Result<_>>()?;
        for (index, named) in attacks.iter().enumerate() {
            if attacks[..index]
                .iter()
                .any(|other| other.name == named.name)
            {
                let problem = format!(
                    "`--recipe`: `{}` stands there twice, expected it once",
                    named.name
                );
                return Err(BadSettings::new(problem).into());
            }
        }
        for named in &attacks {
            named.check_victim(args)?;
            named.check_end(args)?;
        }
        Ok(attacks)
    }

    /// An attack that reads gradients needs a victim that has them.
    fn check_victim(&self, args: &AttackArgs) -> anyhow::Result<()> {
        let SearchConfig::GreedyWordSwapWir(wir) = self.config.search else {
            return Ok(());
        };
        let found = match (wir.importance, &args.endpoint, args.models().count()) {
            (Importance::Gradient, Some(_), _) => "an endpoint, which gives probabilities only",
            (Importance::Gradient, None, 2..) => "an ensemble, which has no loss of its own",
            _ => return Ok(()),
        };
        Err(BadSettings::new(format!(
            "`{}`: importance `gradient` expects one model, found {found}; choose `unk` or `delete`, or attack one model",
            self.name
        ))
        .into())
    }

    /// Where words are edited again and again, a beam search goes round for ever.
    fn check_end(&self, args: &AttackArgs) -> anyhow::Result<()> {
        let is_beam = matches!(self.config.search, SearchConfig::Beam(beam) if beam.width > 0);
        let is_limited = args.query_budget.is_some() || args.time_limit_s.is_some();
        let no_repeat = ConstraintConfig::NoRepeat {};
        if !is_beam || is_limited || self.config.constraint.contains(&no_repeat) {
            return Ok(());
        }
        Err(BadSettings::new(format!(
            "`{}`: a beam search edits the same words for ever without the constraint `no-repeat`, found neither it nor a limit; add it, or give `--query-budget` or `--time-limit-s`",
            self.name
        ))
        .into())
    }

    fn read(recipe: &str, args: &AttackArgs) -> anyhow::Result<Self> {
        let path = Path::new(recipe);
        let is_file = path.extension().is_some_and(|ending| ending == "toml");
        let mut named = if is_file {
            let name = path.file_stem().unwrap_or_default();
            Self {
                name: name.to_string_lossy().into_owned(),
                config: read_settings(path, &[])?,
            }
        } else {
            let recipe = Recipe::from_str(recipe).map_err(|problem| {
                BadSettings::new(format!("`--recipe`: {problem}, or a `.toml` file"))
            })?;
            Self {
                name: recipe.name().to_owned(),
                config: recipe.config(),
            }
        };
        if let (Some(scope), SearchConfig::GreedyWordSwapWir(wir)) =
            (args.wir_scope, &mut named.config.search)
        {
            wir.wir_scope = match scope {
                WirScopeKind::Editable => limbeck_attack::WirScope::Editable,
                WirScopeKind::All => limbeck_attack::WirScope::All,
            };
        }
        Ok(named)
    }
}

/// Which examples are attacked.
pub(super) fn worklist(args: &AttackArgs) -> Worklist {
    Worklist {
        num_examples: args.limit,
        offset: args.offset,
        num_successful: args.num_successful,
        attack_n: args.attack_n,
        shuffle: args.shuffle,
    }
}

/// Where words, vectors and models are, if not where `limbeck resources` puts them.
pub(super) fn resource_settings(args: &AttackArgs) -> ResourceSettings {
    ResourceSettings {
        wordnet: args.wordnet.clone(),
        word_vectors: args.word_vectors.clone(),
        word_list: args.word_list.clone(),
        tagger: args.tagger.clone(),
        masked_lm: args.masked_lm.clone(),
        sentence_encoder: args.sentence_encoder.clone(),
    }
}

/// `config.toml` of an attack.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AttackSettings {
    task: String,
    split: String,
    recipe: String,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    query_budget: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_limit_s: Option<f64>,
    pair_columns: Vec<String>,
    victim: VictimSettings,
    worklist: Worklist,
    attack: AttackConfig,
    resources: ResourceSettings,
    resource_folder: PathBuf,
    data: DataSettings,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct VictimSettings {
    models: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    average: Option<AverageKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gan_classes: Option<GanClassesKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    endpoint: Option<String>,
    max_tokens: usize,
}

impl AttackSettings {
    pub(super) fn new(
        args: &AttackArgs,
        file: &RunFile,
        split: &str,
        max_tokens: usize,
        named: &NamedAttack,
    ) -> Self {
        let models: Vec<String> = args.models().cloned().collect();
        Self {
            task: file.task.clone(),
            split: split.to_owned(),
            recipe: named.name.clone(),
            seed: args.seed,
            query_budget: args.query_budget,
            time_limit_s: args.time_limit_s,
            pair_columns: args.pair_columns.clone(),
            victim: VictimSettings {
                average: (models.len() > 1).then_some(args.average),
                gan_classes: (args.gan_classes == GanClassesKind::All).then_some(args.gan_classes),
                models,
                endpoint: args.endpoint.clone(),
                max_tokens,
            },
            worklist: worklist(args),
            attack: named.config.clone(),
            resources: resource_settings(args),
            resource_folder: args.resources.clone(),
            data: file.data.clone(),
        }
    }
}
