use std::collections::BTreeMap;

use crate::TextError;

/// What a model's labels are called in a set with other labels: `neutral` and `contradiction` are both
/// `non-entailment` in HANS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMap {
    names: Vec<String>,
    classes: Vec<u32>,
}

impl LabelMap {
    /// From the set's name for each of the model's labels; names are classes in the order of the model's labels.
    ///
    /// # Errors
    /// [`TextError::Setting`] where a label has no name in the map, or the map has a label that the model has not.
    pub fn new(labels: &[String], map: &BTreeMap<String, String>) -> Result<Self, TextError> {
        let refuse = |problem: String| {
            let setting = "label-map";
            Err(TextError::Setting { setting, problem })
        };
        let missing: Vec<&String> = labels.iter().filter(|l| !map.contains_key(*l)).collect();
        if !missing.is_empty() {
            return refuse(format!(
                "no entry for {missing:?}; give each of the model's labels {labels:?} a name, its own too"
            ));
        }
        if let Some(unknown) = map.keys().find(|key| !labels.contains(key)) {
            return refuse(format!(
                "found `{unknown}`, which is not one of the model's labels {labels:?}; rename or remove it"
            ));
        }
        let mut names: Vec<String> = Vec::new();
        let mut classes = Vec::new();
        for name in labels.iter().map(|label| &map[label]) {
            let known = names.iter().position(|known| known == name);
            let class = known.unwrap_or(names.len());
            if known.is_none() {
                names.push(name.clone());
            }
            classes.push(class as u32);
        }
        Ok(Self { names, classes })
    }

    /// The set's labels, in class order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The set's class for one of the model's.
    ///
    /// # Panics
    /// If the model has no such class.
    pub fn class(&self, class: u32) -> u32 {
        self.classes[class as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(labels: &[&str], entries: &[(&str, &str)]) -> Result<LabelMap, TextError> {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        let entries = entries.iter().map(|&(a, b)| (a.to_owned(), b.to_owned()));
        LabelMap::new(&labels, &entries.collect())
    }

    #[test]
    fn three_labels_become_two() {
        let hans = [
            ("entailment", "entailment"),
            ("neutral", "non-entailment"),
            ("contradiction", "non-entailment"),
        ];
        let map = map(&["contradiction", "entailment", "neutral"], &hans).unwrap();
        assert_eq!(map.names(), ["non-entailment", "entailment"]);
        assert_eq!([0, 1, 2].map(|class| map.class(class)), [0, 1, 0]);
    }

    #[test]
    fn a_map_that_does_not_fit_is_refused() {
        let check =
            |entries: &[(&str, &str)]| map(&["yes", "no"], entries).unwrap_err().to_string();
        insta::assert_snapshot!(check(&[("yes", "1")]), @r#"`label-map`: no entry for ["no"]; give each of the model's labels ["yes", "no"] a name, its own too"#);
        insta::assert_snapshot!(check(&[("yes", "1"), ("no", "0"), ("maybe", "0")]), @r#"`label-map`: found `maybe`, which is not one of the model's labels ["yes", "no"]; rename or remove it"#);
    }
}
