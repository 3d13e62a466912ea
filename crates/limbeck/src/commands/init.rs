//! `limbeck init`: a run file to begin with.

use limbeck_report::atomic_write;

use crate::cli::{InitArgs, InitKind};
use crate::settings::BadSettings;

const FINETUNE: &str = include_str!("init/finetune.toml");
const DISTILL: &str = include_str!("init/distill.toml");
const PRETRAIN_MLM: &str = include_str!("init/pretrain_mlm.toml");
const AUGMENT: &str = include_str!("init/augment.toml");
const ATTACK: &str = include_str!("init/attack.toml");
const COMMON: &str = include_str!("init/common.toml");

/// Runs the command.
#[expect(clippy::print_stdout, reason = "results go to standard output")]
pub(crate) fn run(args: &InitArgs) -> anyhow::Result<()> {
    let text = template(args.kind);
    let Some(path) = &args.file else {
        print!("{text}");
        return Ok(());
    };
    if path.exists() {
        return Err(BadSettings::new(format!(
            "{}: exists already; choose another name",
            path.display()
        ))
        .into());
    }
    atomic_write(path, text.as_bytes())?;
    Ok(())
}

/// The commented run file of a command.
fn template(kind: InitKind) -> String {
    match kind {
        InitKind::Finetune => format!("{FINETUNE}{COMMON}"),
        InitKind::Distill => format!("{DISTILL}{COMMON}"),
        InitKind::PretrainMlm => PRETRAIN_MLM.to_owned(),
        InitKind::Augment => AUGMENT.to_owned(),
        InitKind::Attack => ATTACK.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use limbeck_attack::recipes::Recipe;
    use limbeck_attack::{AttackConfig, Goal, SearchConfig};
    use limbeck_text::augment::{AugmentRecipe, CountSettings};
    use limbeck_text::constraint::ConstraintConfig;
    use limbeck_text::transform::TransformationConfig;
    use limbeck_train::{
        Ad2Config, CildaConfig, FreeLbConfig, GeneratorConfig, GeneratorModelConfig, MateKdConfig,
        ObjectiveConfig, SmartConfig, StepConfig, TrainConfig,
    };
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::commands::augment::settings::AugmentFile;
    use crate::commands::resources::ResourceSettings;
    use crate::settings::RunFile;

    #[test]
    fn templates_are_valid_and_show_the_defaults() {
        for kind in [InitKind::Finetune, InitKind::Distill] {
            let file: RunFile = toml::from_str(&template(kind)).unwrap();
            assert_eq!(file.train, TrainConfig::default());
            // Every key of the training settings is there to be seen.
            let table: toml::Table = toml::from_str(&template(kind)).unwrap();
            let all = toml::Table::try_from(TrainConfig::default()).unwrap();
            let shown: Vec<_> = table["train"].as_table().unwrap().keys().collect();
            assert_eq!(shown, all.keys().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_commented_steps_show_their_defaults() {
        let whole = template(InitKind::Distill);
        for (name, default) in [
            ("ad2", StepConfig::Ad2(Ad2Config::default())),
            ("free-lb", StepConfig::FreeLb(FreeLbConfig::default())),
            ("smart", StepConfig::Smart(SmartConfig::default())),
        ] {
            let (_, block) = whole.split_once(&format!("# [step.{name}]\n")).unwrap();
            let keys = block.lines().map_while(|line| line.strip_prefix("# "));
            let keys = keys.take_while(|line| !line.starts_with("[step."));
            let keys = keys.filter(|line| line.contains(" = ") && !line.starts_with(' '));
            let keys: Vec<&str> = keys.collect();
            let text = format!("[{name}]\n{}", keys.join("\n"));
            let table: toml::Table = toml::from_str(&text).unwrap();
            let all = toml::Table::try_from(&default).unwrap();
            let shown: Vec<_> = table[name].as_table().unwrap().keys().collect();
            let expected: Vec<_> = all[name].as_table().unwrap().keys().collect();
            assert_eq!(shown, expected);
            assert_eq!(table.try_into::<StepConfig>().unwrap(), default);
        }
    }

    #[test]
    fn the_steps_that_write_texts_show_the_defaults() {
        let model = || {
            Some(GeneratorConfig::Model(GeneratorModelConfig::new(
                "runs/masked-lm",
            )))
        };
        let mate_kd = MateKdConfig {
            generator: model(),
            ..MateKdConfig::default()
        };
        assert_eq!(commented_step("mate-kd"), StepConfig::MateKd(mate_kd));
        let cilda = CildaConfig {
            generator: model(),
            ..CildaConfig::default()
        };
        assert_eq!(commented_step("cilda"), StepConfig::Cilda(cilda));
    }

    /// The table of a step that the template shows as a comment.
    fn commented_step(name: &str) -> StepConfig {
        let header = format!("# [step.{name}]");
        let lines = DISTILL.lines().skip_while(|line| **line != header);
        let keys = lines.skip(1).take_while(|line| line.contains(" = "));
        let keys: Vec<&str> = keys.filter_map(|line| line.strip_prefix("# ")).collect();
        let text = format!("[{name}]\n{}", keys.join("\n"));
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_template_of_augment_shows_the_defaults_and_all_that_may_be_absent() {
        let file: AugmentFile = toml::from_str(AUGMENT).unwrap();
        let least = r#"
            recipe = { wordnet = {} }
            data = { path = "data/train.csv", format = "csv", columns = { text = "text", label = "label" } }
        "#;
        assert_eq!(file, toml::from_str(least).unwrap());
        // With the absent ones too it is valid, and holds every key.
        let whole: String = AUGMENT.lines().map(|line| shown(line) + "\n").collect();
        toml::from_str::<AugmentFile>(&whole).unwrap();
        let table: toml::Table = toml::from_str(&whole).unwrap();
        check_keys::<AugmentFile>(&table);
        check_keys::<CountSettings>(table["augment"].as_table().unwrap());
        check_keys::<ResourceSettings>(table["resources"].as_table().unwrap());
        for choice in choices(AUGMENT) {
            read::<AugmentRecipe>(&choice).unwrap_or_else(|error| panic!("{choice}: {error}"));
        }
    }

    #[test]
    fn the_template_of_attack_is_a_recipe_and_every_choice_in_it_is_one() {
        let config: AttackConfig = toml::from_str(ATTACK).unwrap();
        assert_eq!(config, Recipe::DeepWordBug.config());
        check_keys::<AttackConfig>(&toml::from_str(ATTACK).unwrap());
        let choices = choices(ATTACK);
        for choice in &choices {
            let is_known = read::<Goal>(choice).is_ok()
                || read::<SearchConfig>(choice).is_ok()
                || read::<TransformationConfig>(choice).is_ok()
                || read::<ConstraintConfig>(choice).is_ok();
            assert!(is_known, "{choice}");
        }
        // No kind of edit or constraint is left out.
        for name in names::<TransformationConfig>()
            .into_iter()
            .chain(names::<ConstraintConfig>())
        {
            let key = format!("{{ {name} = ");
            assert!(ATTACK.contains(&key), "{name}");
        }
    }

    #[test]
    fn objectives_that_the_template_lists_have_their_defaults() {
        let listed: Vec<String> = choices(DISTILL)
            .into_iter()
            .filter(|line| line.contains(" = { weight = "))
            .collect();
        assert_eq!(listed.len(), 5);
        for line in listed {
            let (name, _) = line.split_once(' ').unwrap();
            let shown: ObjectiveConfig = toml::from_str(&line).unwrap();
            let default: ObjectiveConfig = toml::from_str(&format!("{name} = {{}}")).unwrap();
            assert_eq!(shown, default, "{line}");
        }
    }

    /// A line with the mark before its key, if it has one, taken away.
    fn shown(line: &str) -> String {
        let key = line
            .strip_prefix("# ")
            .and_then(|rest| rest.split_once(" = "));
        match key {
            Some((key, value)) if !key.contains(' ') => format!("{key} = {value}"),
            _ => line.to_owned(),
        }
    }

    /// The values that comments list.
    fn choices(template: &str) -> Vec<String> {
        let listed = template
            .lines()
            .filter_map(|line| line.strip_prefix("#   "));
        listed.map(str::to_owned).collect()
    }

    fn read<T: DeserializeOwned>(value: &str) -> Result<T, toml::de::Error> {
        #[derive(serde::Deserialize)]
        struct One<T> {
            one: T,
        }
        toml::from_str::<One<T>>(&format!("one = {value}")).map(|read| read.one)
    }

    /// Keys or choices, as the message about one that does not exist lists them.
    fn names<T: DeserializeOwned>() -> Vec<String> {
        let error = read::<T>("{ nothing = {} }").err().unwrap().to_string();
        let (_, expected) = error.split_once("expected one of ").unwrap();
        let quoted = expected.split('`').skip(1).step_by(2);
        quoted.map(str::to_owned).collect()
    }

    fn check_keys<T: DeserializeOwned>(table: &toml::Table) {
        for name in names::<T>() {
            assert!(table.contains_key(&name), "{name}");
        }
    }
}
