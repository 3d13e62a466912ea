//! Whether a run may be continued: the same settings, the same inputs.

use std::collections::BTreeMap;
use std::path::Path;

use crate::files::read_toml;
use crate::{Provenance, ReportError, Result};

pub(crate) fn check_settings(path: &Path, present: &str) -> Result<()> {
    let stored = flatten(&read_toml(path)?);
    let present = flatten(&toml::from_str(present).expect("we serialised it"));
    let Some((key, found, expected)) = first_difference(&stored, &present) else {
        return Ok(());
    };
    let quote =
        |value: Option<&String>| value.map_or("not set".to_owned(), |value| format!("`{value}`"));
    Err(ReportError::SettingDiffers {
        path: path.to_owned(),
        key,
        found: quote(found),
        expected: quote(expected),
    })
}

pub(crate) fn check_inputs(path: &Path, stored: &Provenance, present: &Provenance) -> Result<()> {
    let hashes = |provenance: &Provenance| -> BTreeMap<String, String> {
        provenance
            .inputs
            .iter()
            .map(|(name, input)| (name.clone(), input.sha256.clone()))
            .collect()
    };
    let (stored, present) = (hashes(stored), hashes(present));
    let Some((input, found, expected)) = first_difference(&stored, &present) else {
        return Ok(());
    };
    let or_none =
        |hash: Option<&String>| hash.map_or("absent".to_owned(), |hash| format!("SHA-256 {hash}"));
    Err(ReportError::InputDiffers {
        path: path.to_owned(),
        input,
        found: or_none(found),
        expected: or_none(expected),
    })
}

type Difference<'a> = (String, Option<&'a String>, Option<&'a String>);

fn first_difference<'a>(
    stored: &'a BTreeMap<String, String>,
    present: &'a BTreeMap<String, String>,
) -> Option<Difference<'a>> {
    let mut keys: Vec<&String> = stored.keys().chain(present.keys()).collect();
    keys.sort();
    let key = keys
        .into_iter()
        .find(|&key| stored.get(key) != present.get(key))?;
    Some((key.clone(), stored.get(key), present.get(key)))
}

/// The table's leaves as text, by their keys joined with dots.
pub(crate) fn flatten(table: &toml::Table) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    for (key, value) in table {
        flatten_value(key, value, &mut leaves);
    }
    leaves
}

fn flatten_value(key: &str, value: &toml::Value, leaves: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table {
                flatten_value(&format!("{key}.{name}"), value, leaves);
            }
        }
        toml::Value::Array(values) if values.iter().any(toml::Value::is_table) => {
            for (index, value) in values.iter().enumerate() {
                flatten_value(&format!("{key}[{index}]"), value, leaves);
            }
        }
        value => {
            leaves.insert(key.to_owned(), value.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_settings_have_dotted_keys() {
        let table = "a = 1\nb = [1, 2]\n[c]\nd = \"x\"\n[[e]]\nf = 0.5"
            .parse()
            .unwrap();
        let leaves: Vec<_> = flatten(&table)
            .into_iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        assert_eq!(
            leaves,
            ["a = 1", "b = [1, 2]", "c.d = \"x\"", "e[0].f = 0.5"]
        );
    }
}
