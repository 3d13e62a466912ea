//! Students made of a teacher's layers.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::checkpoint::Weights;
use crate::classifier::SentenceClassifier;
use crate::encoder::Transformer;

/// Which of a teacher's layers a student begins with (0-based).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LayerSelection {
    /// The first `k` (PKD's "truncate").
    Bottom(usize),
    /// Every second, from the first: 0, 2, 4, .. (`k` of them).
    Skip(usize),
    /// The last `k`.
    Top(usize),
    /// DistilBERT's choice for 12 layers to 6: 0, 2, 4, 7, 9, 11; spread the same way for others.
    Distil(usize),
    /// These, in this order.
    List(Vec<usize>),
}

impl LayerSelection {
    /// The layers for a teacher with `teacher_layers` layers.
    pub fn layers(&self, teacher_layers: usize) -> Result<Vec<usize>, ModelError> {
        let layers: Vec<usize> = match self {
            Self::Bottom(count) => (0..*count).collect(),
            Self::Skip(count) => (0..*count).map(|i| 2 * i).collect(),
            Self::Top(count) => match teacher_layers.checked_sub(*count) {
                Some(first) => (first..teacher_layers).collect(),
                None => return Err(self.error(teacher_layers)),
            },
            Self::Distil(count) if *count > teacher_layers => {
                return Err(self.error(teacher_layers));
            }
            Self::Distil(count) => (0..*count)
                .map(|i| distil_layer(i, *count, teacher_layers))
                .collect(),
            Self::List(layers) => layers.clone(),
        };
        if layers.is_empty() || layers.iter().any(|&layer| layer >= teacher_layers) {
            return Err(self.error(teacher_layers));
        }
        Ok(layers)
    }

    fn error(&self, teacher_layers: usize) -> ModelError {
        let asked = match self {
            Self::Bottom(count) => format!("bottom = {count}"),
            Self::Skip(count) => format!("skip = {count}"),
            Self::Top(count) => format!("top = {count}"),
            Self::Distil(count) => format!("distil = {count}"),
            Self::List(layers) => format!("list = {layers:?}"),
        };
        ModelError::LayerSelection {
            problem: format!(
                "`{asked}` does not fit a teacher with {teacher_layers} layers; choose layers 0 to {}",
                teacher_layers.saturating_sub(1)
            ),
        }
    }
}

/// Even steps over the lower half, then the same steps shifted so that the last layer is the teacher's last.
fn distil_layer(index: usize, count: usize, teacher_layers: usize) -> usize {
    let step = teacher_layers / count.max(1);
    let from_bottom = index * step;
    let from_top = (teacher_layers - 1).saturating_sub((count - 1 - index) * step);
    if index < count.div_ceil(2) {
        from_bottom
    } else {
        from_top
    }
}

impl SentenceClassifier {
    /// A student made of some of this model's layers, with its embeddings and head.
    pub fn cut(&self, selection: &LayerSelection, device: &Device) -> Result<Self, ModelError> {
        let Some(config) = self.encoder().map(Transformer::config) else {
            return Err(ModelError::LayerSelection {
                problem: format!(
                    "the teacher is a {}, and only a transformer's layers can be taken; describe the student by its sizes",
                    self.kind_name()
                ),
            });
        };
        let layers = selection.layers(config.layer_count)?;
        let architecture = config.architecture;
        let stem = format!(
            "{}.{}.",
            architecture.model_type(),
            architecture.layer_stem()
        );
        let origin = std::path::Path::new("the teacher");
        let teacher = self.tensors()?;
        let mut tensors = std::collections::BTreeMap::new();
        for (name, tensor) in &teacher {
            let Some((number, rest)) = name
                .strip_prefix(&stem)
                .and_then(|rest| rest.split_once('.'))
            else {
                tensors.insert(name.clone(), tensor.clone());
                continue;
            };
            for (target, _) in layers
                .iter()
                .enumerate()
                .filter(|(_, layer)| layer.to_string() == number)
            {
                tensors.insert(format!("{stem}{target}.{rest}"), tensor.clone());
            }
        }
        let config = config.clone().with_layers(layers.len());
        let weights = Weights::from_tensors(origin, tensors);
        Self::from_weights(&config, &weights, Some(self.target()), 0, device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_those_of_the_papers() {
        let check = |selection: LayerSelection, teacher, expected: &[usize]| {
            assert_eq!(
                selection.layers(teacher).unwrap(),
                expected,
                "{selection:?}"
            );
        };
        check(LayerSelection::Bottom(3), 6, &[0, 1, 2]);
        check(LayerSelection::Skip(3), 6, &[0, 2, 4]);
        check(LayerSelection::Top(3), 6, &[3, 4, 5]);
        check(LayerSelection::Distil(6), 12, &[0, 2, 4, 7, 9, 11]);
        check(LayerSelection::List(vec![5, 0]), 6, &[5, 0]);
        assert!(LayerSelection::Skip(4).layers(6).is_err());
        assert!(LayerSelection::Top(7).layers(6).is_err());
        assert!(LayerSelection::List(vec![]).layers(6).is_err());
    }
}
