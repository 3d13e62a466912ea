//! `limbeck predict`: text in, one JSON object per line out.

use std::io::{BufReader, Write, stdin, stdout};
use std::path::Path;

use candle_core::Device;
use limbeck_model::{HiddenStates, Needs, Target};
use limbeck_ops::Pass;
use limbeck_text::{Column, DataSpec, Text, read_texts, text_lines};
use limbeck_train::{EncodedSet, Predictor, predict};
use serde_json::{Map, Value, json};

use crate::cli::PredictArgs;
use crate::environment::{device, model_folder};
use crate::settings::{BadSettings, MAX_TOKENS, max_tokens};

/// Texts read from standard input before a batch is computed.
const CHUNK: usize = 1024;

/// Runs the command.
pub(crate) fn run(args: &PredictArgs, quiet: bool) -> anyhow::Result<()> {
    let folder = model_folder(&args.model, quiet)?;
    let tokens = max_tokens(args.max_tokens, Some(&args.model), MAX_TOKENS);
    let predictor = Predictor::open(&folder, tokens, &device(args.device)?)?;
    if let (Some(layer), Some(count)) = (
        args.hidden,
        predictor.model.encoder().map(|e| e.config().layer_count),
    ) && layer > count
    {
        return Err(BadSettings::new(format!(
            "`--hidden`: found {layer}, expected 0 (embeddings) to {count}"
        ))
        .into());
    }
    let mut out = std::io::BufWriter::new(stdout().lock());
    if let Some(path) = args.input.as_deref().filter(|path| *path != Path::new("-")) {
        for texts in read_texts(&spec(path, args))?.chunks(CHUNK) {
            write_chunk(&mut out, &predictor, texts, args)?;
        }
    } else {
        let mut lines = text_lines(BufReader::new(stdin().lock()), Path::new("standard input"));
        loop {
            let texts: Vec<Text> = lines.by_ref().take(CHUNK).collect::<Result<_, _>>()?;
            if texts.is_empty() {
                break;
            }
            write_chunk(&mut out, &predictor, &texts, args)?;
            out.flush()?;
        }
    }
    Ok(out.flush()?)
}

fn spec(path: &Path, args: &PredictArgs) -> DataSpec {
    let mut spec = DataSpec::new(path);
    spec.columns.text = args.text.clone().map(Column::Name);
    spec.columns.text_pair = args.text_pair.clone().map(Column::Name);
    spec
}

fn write_chunk(
    out: &mut impl Write,
    predictor: &Predictor,
    texts: &[Text],
    args: &PredictArgs,
) -> anyhow::Result<()> {
    let set = predictor.encode(texts)?;
    let predictions = predict(&predictor.model, &set, |_| {})?;
    let labels = predictions.labels(predictor.model.target());
    let probabilities = predictions.probabilities();
    for (index, (text, label)) in texts.iter().zip(labels).enumerate() {
        let mut row = Map::new();
        row.insert("text".into(), json!(text.first));
        if let Some(second) = &text.second {
            row.insert("text-pair".into(), json!(second));
        }
        match predictor.model.target() {
            Target::Labels(names) => {
                let class = label.class().unwrap_or_default() as usize;
                row.insert("label".into(), json!(names[class]));
                let row_probabilities = &probabilities[index * names.len()..][..names.len()];
                let by_name: Map<String, Value> = names
                    .iter()
                    .zip(row_probabilities)
                    .map(|(name, p)| (name.clone(), json!(p)))
                    .collect();
                row.insert("probabilities".into(), Value::Object(by_name));
            }
            Target::Regression => {
                row.insert("score".into(), json!(label.score()));
            }
        }
        if args.logits {
            row.insert("logits".into(), json!(predictions.row(index)));
        }
        add_vectors(&mut row, predictor, &set, index, args)?;
        serde_json::to_writer(&mut *out, &row)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

fn add_vectors(
    row: &mut Map<String, Value>,
    predictor: &Predictor,
    set: &EncodedSet,
    index: usize,
    args: &PredictArgs,
) -> anyhow::Result<()> {
    if !args.embeddings && args.hidden.is_none() {
        return Ok(());
    }
    let batch = set.batch(&[index]);
    if args.embeddings {
        let embedding = predictor
            .model
            .mean_embeddings(&batch)?
            .to_device(&Device::Cpu)?
            .to_vec2::<f32>()?;
        row.insert("embedding".into(), json!(embedding[0]));
    }
    if let Some(layer) = args.hidden {
        let needs = Needs {
            hidden: HiddenStates::All,
            attention: false,
        };
        let hidden = predictor
            .model
            .forward(&batch, needs, &Pass::EVALUATE)?
            .hidden;
        row.insert(
            "hidden".into(),
            json!(hidden[layer].to_device(&Device::Cpu)?.to_vec2::<f32>()?),
        );
    }
    Ok(())
}
