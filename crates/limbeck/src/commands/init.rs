//! `limbeck init`: a run file to begin with.

use limbeck_report::atomic_write;

use crate::cli::{InitArgs, InitKind};
use crate::settings::BadSettings;

const FINETUNE: &str = include_str!("init/finetune.toml");
const DISTILL: &str = include_str!("init/distill.toml");
const PRETRAIN_MLM: &str = include_str!("init/pretrain_mlm.toml");
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
    }
}

#[cfg(test)]
mod tests {
    use limbeck_train::TrainConfig;

    use super::*;
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
}
