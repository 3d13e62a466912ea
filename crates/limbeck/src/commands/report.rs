//! `limbeck report`: finished runs side by side.

use limbeck_report::{Comparison, atomic_write};
use serde_json::json;

use crate::cli::ReportArgs;

/// Runs the command.
#[expect(clippy::print_stdout, reason = "results go to standard output")]
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let comparison = Comparison::read(&args.runs)?;
    let attacks = comparison.attack_table();
    let table = if comparison.models().is_empty() {
        attacks.clone().unwrap_or_else(|| comparison.table())
    } else {
        comparison.table()
    };
    let attacks = attacks.filter(|_| !comparison.models().is_empty());
    if args.json {
        let json = match &attacks {
            Some(attacks) => json!({ "models": table.to_json(), "attacks": attacks.to_json() }),
            None => table.to_json(),
        };
        println!("{json:#}");
    } else {
        print!("{}", table.to_text());
        if let Some(attacks) = attacks {
            print!("\n{}", attacks.to_text());
        }
    }
    if let Some(path) = &args.csv {
        atomic_write(path, table.to_csv().as_bytes())?;
    }
    if let Some(path) = &args.markdown {
        atomic_write(path, table.to_markdown().as_bytes())?;
    }
    if let Some(path) = &args.page {
        atomic_write(path, comparison.page(&args.title)?.to_html().as_bytes())?;
        tracing::info!("page: {}", path.display());
    }
    Ok(())
}
