//! Averages that papers print, recomputed from their own cells.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a test that skips says so")]

use std::path::{Path, PathBuf};

use limbeck_report::{as_printed, average_of_printed};
use serde_json::Value;

/// The tables of the papers, where they are at hand.
fn tables() -> Option<Value> {
    let folder = std::env::var_os("LIMBECK_PAPERS_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/papers"),
        PathBuf::from,
    );
    let path = folder.join("paper_numbers.json");
    let Ok(text) = fs_err::read_to_string(&path) else {
        eprintln!("skipped: no {}; set LIMBECK_PAPERS_DIR", path.display());
        return None;
    };
    Some(serde_json::from_str::<Value>(&text).unwrap()["tables"].take())
}

/// Rows whose printed average is not the one of their cells, as `row: printed, recomputed`.
fn differences(table: &Value, columns: &[&str]) -> (usize, Vec<String>) {
    let names: Vec<&str> = table["cols"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c.as_str().unwrap())
        .collect();
    let at = |name: &str| names.iter().position(|&known| known == name).unwrap();
    let rows = table["rows"].as_object().unwrap();
    let mut differences = Vec::new();
    for (row, cells) in rows {
        let cell = |name: &str| cells[at(name)].as_f64().unwrap();
        let scores: Vec<f64> = columns.iter().map(|name| cell(name)).collect();
        let recomputed = as_printed(average_of_printed(&scores, 1).unwrap(), 1);
        let printed = as_printed(cell("Avg"), 1);
        if recomputed != printed {
            differences.push(format!("{row}: {printed}, {recomputed}"));
        }
    }
    differences.sort();
    (rows.len(), differences)
}

fn check(tables: &Value, table: &str, columns: &[&str], rows: usize, expected: &[&str]) {
    let (found, differences) = differences(&tables[table], columns);
    assert_eq!(found, rows, "{table}");
    assert_eq!(differences, expected, "{table}");
}

#[test]
fn the_averages_of_ad2_are_means_of_all_twelve_numbers() {
    let Some(tables) = tables() else { return };
    let columns = [
        "MNLI-m",
        "MNLI-mm",
        "QQP-F1",
        "QQP-Acc",
        "QNLI",
        "SST-2",
        "CoLA",
        "STS-B-PCC",
        "STS-B-SCC",
        "MRPC-F1",
        "MRPC-Acc",
        "RTE",
    ];
    // 82.075 was cut, not rounded.
    let printed = ["Fine-tune 6L: 82.0, 82.1"];
    check(&tables, "S1.T1", &columns, 5, &printed);
    // The ablation's averages are of six numbers. That without AD has another MRPC score than the first table's 89.6,
    // from which 84.3 comes; the other two are a tenth off.
    let columns = ["MNLI-m", "QQP-Acc", "QNLI", "SST-2", "MRPC-b", "RTE"];
    let printed = ["-AD: 84.3, 83.8", "-DKD: 85.9, 86.0", "-KD: 85.2, 85.1"];
    check(&tables, "S1.T3", &columns, 4, &printed);
    let first = [82.4, 90.3, 89.1, 90.9, 89.6, 63.5];
    assert_eq!(
        as_printed(average_of_printed(&first, 1).unwrap(), 1),
        "84.3"
    );
}

#[test]
fn the_averages_of_cilda_are_means_of_eight_tasks() {
    let Some(tables) = tables() else { return };
    let columns = [
        "CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE",
    ];
    check(&tables, "S2.T1.dev", &columns, 5, &[]);
    check(&tables, "S2.T1.test", &columns, 5, &[]);
}
