//! The run file of `limbeck augment`.

use std::path::Path;

use limbeck_text::augment::{AugmentRecipe, CountSettings};
use limbeck_text::{DataSpec, Format};
use serde::{Deserialize, Serialize};

use crate::cli::AugmentArgs;
use crate::commands::resources::ResourceSettings;
use crate::settings::{BadSettings, MAX_TOKENS, parse_settings, read_settings};

/// A run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AugmentFile {
    /// Seed of all randomness.
    #[serde(default)]
    pub(super) seed: u64,
    /// So many random rows, each at most once; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sample: Option<usize>,
    /// Whether the rows that others are made of are left out.
    #[serde(default)]
    pub(super) exclude_original: bool,
    /// Whether new rows may be equal to the one they are made of.
    #[serde(default)]
    pub(super) keep_unchanged: bool,
    /// Whether columns say where a row comes from; if absent, where the format has named columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) provenance: Option<bool>,
    /// The model that labels new rows; if absent they keep the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) relabel: Option<RelabelSettings>,
    /// How rows are made.
    pub(super) recipe: AugmentRecipe,
    /// How many, and how far they go.
    #[serde(default)]
    pub(super) augment: CountSettings,
    /// The rows to begin with.
    pub(super) data: DataSpec,
    /// Where words, vectors and models are, if not where `limbeck resources` puts them.
    #[serde(default)]
    pub(super) resources: ResourceSettings,
}

/// `[relabel]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RelabelSettings {
    /// A finished run, a folder, or a hub id.
    pub(super) from: String,
    /// Longest sentence in tokens; longer ones are cut.
    #[serde(default = "default_max_tokens")]
    pub(super) max_tokens: usize,
}

fn default_max_tokens() -> usize {
    MAX_TOKENS
}

impl AugmentFile {
    /// The run file, or the settings that arguments alone make up; arguments have the last word.
    pub(super) fn read(args: &AugmentArgs) -> anyhow::Result<Self> {
        let mut overrides = args.overrides.clone();
        if let Some(recipe) = &args.recipe {
            let known = AugmentRecipe::named().map(|recipe| recipe.name());
            if !known.contains(&recipe.as_str()) {
                let problem = format!(
                    "`--recipe`: found `{recipe}`, expected one of {known:?}, or a run file with a recipe of your own"
                );
                return Err(BadSettings::new(problem).into());
            }
            overrides.push(format!("recipe={{{recipe}={{}}}}"));
        }
        let mut set = |key: &str, value: Option<String>| {
            overrides.extend(value.map(|value| format!("{key}={value}")));
        };
        set("augment.count", args.count.map(|n| n.to_string()));
        let fraction = args.word_fraction.map(|fraction| format!("{fraction:?}"));
        set("augment.word-fraction", fraction);
        set("sample", args.sample.map(|n| n.to_string()));
        set("seed", args.seed.map(|n| n.to_string()));
        let yes = |flag: bool, value: &str| flag.then(|| value.to_owned());
        set("exclude-original", yes(args.exclude_original, "true"));
        set("provenance", yes(args.no_provenance, "false"));
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let model = args.relabel.as_ref();
        set("relabel.from", model.map(|model| quoted(model)));
        let input = args.input.as_ref().map(|path| path.to_string_lossy());
        set("data.path", input.map(|path| quoted(&path)));
        let mut file: Self = match &args.file {
            Some(path) => read_settings(path, &overrides)?,
            None if args.recipe.is_none() || args.input.is_none() => {
                return Err(
                    BadSettings::new("no run file; give one, or `--recipe` and `--input`").into(),
                );
            }
            None => parse_settings("", Path::new("the arguments"), &overrides)?,
        };
        if file.reads_standard_input() {
            file.data.format = Format::Lines;
        }
        file.check()?;
        Ok(file)
    }

    /// Whether the rows come from standard input.
    pub(super) fn reads_standard_input(&self) -> bool {
        self.data.path == Path::new("-")
    }

    fn check(&self) -> anyhow::Result<()> {
        let problem = if self.sample == Some(0) {
            "`sample`: found 0, expected 1 or more rows"
        } else if self.sample.is_some() && self.reads_standard_input() {
            "`sample`: standard input cannot be read twice; give a file as `--input`"
        } else if self.recipe.needs_words() && self.reads_standard_input() {
            "`recipe`: this one counts the words of all rows first, and standard input cannot be read twice; give a file as `--input`"
        } else {
            return Ok(());
        };
        Err(BadSettings::new(problem).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_files_of_the_examples_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/augment");
        let mut count = 0;
        for entry in fs_err::read_dir(folder).unwrap() {
            let file: AugmentFile = read_settings(&entry.unwrap().path(), &[]).unwrap();
            file.check().unwrap();
            count += 1;
        }
        assert!(count > 3, "{count}");
    }
}
