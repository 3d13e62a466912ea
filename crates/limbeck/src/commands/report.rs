//! `limbeck report`: finished runs side by side.

use limbeck_report::{Comparison, atomic_write};

use crate::cli::ReportArgs;

/// Runs the command.
#[expect(clippy::print_stdout, reason = "results go to standard output")]
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let comparison = Comparison::read(&args.runs)?;
    let table = comparison.table();
    if args.json {
        println!("{:#}", table.to_json());
    } else {
        print!("{}", table.to_text());
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
