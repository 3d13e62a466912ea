//! What is attacked: a model, several, or an endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use limbeck_attack::{Average, ClassifierVictim, Ensemble, Victim, WordGradients};
use limbeck_model::Target;
use limbeck_report::{Input, hash_input};
use limbeck_text::edit::WordText;
use limbeck_text::{BoxError, Classifier, Probabilities, Text};
use limbeck_train::{PieceGradients, Predictor};

use crate::cli::{AttackArgs, AverageKind, GanClassesKind};
use crate::endpoint::{Endpoint, EndpointConfig};
use crate::environment::{device, model_folder};
use crate::settings::{BadSettings, RunFile, seconds};

/// Fewest requests in a second: one in eleven days.
const LEAST_RATE: f64 = 1e-6;

/// A victim and what is known of it.
pub(super) struct Opened {
    pub(super) victim: Box<dyn Victim>,
    /// What a single model tells of its words; `None` where it is more than one, or not ours.
    pub(super) gradients: Option<Arc<dyn WordGradients>>,
    pub(super) name: String,
    /// What the data is labelled with.
    pub(super) target: Target,
    /// The classes whose probabilities the victim gives, the data's first.
    pub(super) labels: Vec<String>,
    /// The folders read.
    pub(super) inputs: BTreeMap<String, Input>,
}

impl Opened {
    pub(super) fn open(
        args: &AttackArgs,
        file: &RunFile,
        max_tokens: usize,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        if let Some(url) = &args.endpoint {
            return Self::endpoint(url, args, file);
        }
        let device = device(args.device)?;
        let mut inputs = BTreeMap::new();
        let (mut predictors, mut targets) = (Vec::new(), Vec::new());
        for (index, name) in args.models().enumerate() {
            let folder = model_folder(name, quiet)?;
            let key = if index == 0 {
                "model".to_owned()
            } else {
                format!("model-{}", index + 1)
            };
            inputs.insert(key, hash_input(&folder)?);
            let mut predictor = Predictor::open(&folder, max_tokens, &device)?;
            targets.push(predictor.model.target().clone());
            if args.gan_classes == GanClassesKind::All {
                let all = predictor.model.with_all_classes();
                predictor.model = all.map_err(|error| {
                    BadSettings::new(format!("`--gan-classes all`: `{name}`: {error}"))
                })?;
            }
            predictors.push(predictor);
        }
        let name = args
            .models()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" + ");
        let Some(first) = predictors.first() else {
            return Err(
                BadSettings::new("found no model, expected one or `--endpoint URL`").into(),
            );
        };
        let asked = first.model.target().clone();
        let Target::Labels(labels) = asked.clone() else {
            let problem = format!("`{name}`: predicts a number; attacks need a classifier");
            return Err(BadSettings::new(problem).into());
        };
        if let Some(other) = predictors.iter().find(|p| *p.model.target() != asked) {
            return Err(BadSettings::new(format!(
                "`--ensemble`: a model predicts {}, the first {asked}; give models with the same labels in the same order",
                other.model.target()
            ))
            .into());
        }
        let mut gradients: Option<Arc<dyn WordGradients>> = None;
        let victim: Box<dyn Victim> = if predictors.len() == 1 {
            let model = Model(Arc::new(predictors.pop().expect("there is one")));
            gradients = Some(Arc::new(model.clone()));
            Box::new(ClassifierVictim(model))
        } else {
            let members = predictors
                .into_iter()
                .map(|p| Box::new(ClassifierVictim(p)) as Box<dyn Victim>);
            Box::new(Ensemble {
                members: members.collect(),
                average: match args.average {
                    AverageKind::Probabilities => Average::Probabilities,
                    AverageKind::Logits => Average::Logits,
                },
            })
        };
        Ok(Self {
            victim,
            gradients,
            name,
            target: targets.swap_remove(0),
            labels,
            inputs,
        })
    }

    fn endpoint(url: &str, args: &AttackArgs, file: &RunFile) -> anyhow::Result<Self> {
        let labels = file.data.labels.clone();
        if labels.is_empty() {
            return Err(BadSettings::new("`data.labels`: found nothing, expected the label names in the order of the endpoint's probabilities").into());
        }
        if args
            .requests_per_s
            .is_some_and(|rate| !rate.is_finite() || rate < LEAST_RATE)
        {
            let problem = format!("`--requests-per-s`: expected {LEAST_RATE} or more");
            return Err(BadSettings::new(problem).into());
        }
        let endpoint = Endpoint::new(EndpointConfig {
            url: url.to_owned(),
            label_count: labels.len(),
            batch: args.endpoint_batch,
            timeout: seconds("--endpoint-timeout-s", args.endpoint_timeout_s)?,
            retries: args.endpoint_retries,
            requests_per_s: args.requests_per_s,
        });
        Ok(Self {
            victim: Box::new(endpoint),
            gradients: None,
            name: url.to_owned(),
            target: Target::Labels(labels.clone()),
            labels,
            inputs: BTreeMap::new(),
        })
    }
}

/// A single model: it answers, and tells how its answer depends on each word.
#[derive(Clone)]
struct Model(Arc<Predictor>);

impl Classifier for Model {
    fn predict(&self, texts: &[Text]) -> Result<Probabilities, BoxError> {
        self.0.predict(texts)
    }
}

impl WordGradients for Model {
    fn word_gradients(&self, text: &WordText) -> Result<Vec<f64>, BoxError> {
        let Predictor {
            model,
            tokenizer,
            max_tokens,
        } = &*self.0;
        let pieces = PieceGradients::of(model, tokenizer, &text.to_text(), *max_tokens)?;
        let mut starts = vec![0];
        for (_, column) in text.columns() {
            starts.extend(starts.last().map(|start| start + column.len() + 1));
        }
        let norm = |word: usize| {
            let column = text.column_of(word);
            let (span, start) = (text.span(word), starts[column]);
            pieces.norm_at(column, &(span.start - start..span.end - start))
        };
        Ok((0..text.word_count()).map(norm).collect())
    }
}
