//! Probable words for gaps: `fill MODEL [--all]`, one text with `[MASK]` per line of standard input.
//!
//! Prints one JSON object per line: the most probable tokens, or with `--all` the probability of every id.

#![expect(clippy::print_stdout, reason = "results go to standard output")]

use std::io::{BufRead, stdin};
use std::path::Path;

use candle_core::Device;
use limbeck_text::{Gap, MaskedLm};
use limbeck_train::MaskedLmFiller;
use serde_json::json;

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: fill MODEL [--all]")?;
    let all = arguments.next().is_some_and(|argument| argument == "--all");
    let filler = MaskedLmFiller::open(Path::new(&folder), &folder, 512, &Device::Cpu)?;
    for line in stdin().lock().lines() {
        let line = line?;
        let (before, after) = line.split_once("[MASK]").ok_or("a line without [MASK]")?;
        let second = None;
        let gap = Gap {
            before,
            after,
            second,
        };
        if all {
            let probabilities = filler.probabilities(&[gap])?;
            println!(
                "{}",
                json!({ "text": line, "probabilities": probabilities[0] })
            );
            continue;
        }
        let found = &filler.fill(&[gap], 8, &|_| true)?[0];
        let words = found.iter().map(|f| json!([f.token, f.probability]));
        let words: Vec<_> = words.collect();
        println!("{}", json!({ "text": line, "fillings": words }));
    }
    Ok(())
}
