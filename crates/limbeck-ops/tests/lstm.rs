//! The fused LSTM equals its composition and PyTorch, whatever the batch and the threads.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::Path;

use candle_core::{D, DType, Device, Tensor, Var};
use limbeck_ops::{Direction, LstmParameters, Parameter, Pass, Starts, backward, lstm, mix64};

const LENGTHS: [usize; 6] = [7, 1, 19, 0, 33, 2];
const DIRECTIONS: [Direction; 2] = [Direction::Forward, Direction::Backward];

fn random(shape: &[usize], seed: u64) -> Tensor {
    let mut state = mix64(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = mix64(state);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn parameters(inputs: usize, hidden: usize, dtype: DType) -> LstmParameters {
    let parameter = |name: &str, shape: &[usize], seed: u64| {
        let value = (random(shape, seed) * 0.3).unwrap();
        Parameter::new(name, &value.to_dtype(dtype).unwrap()).unwrap()
    };
    LstmParameters {
        input_weight: parameter("input weight", &[4 * hidden, inputs], 1),
        recurrent_weight: parameter("recurrent weight", &[4 * hidden, hidden], 2),
        input_bias: parameter("input bias", &[4 * hidden], 3),
        recurrent_bias: parameter("recurrent bias", &[4 * hidden], 4),
    }
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The largest difference, relative to the largest magnitude of what is expected.
fn difference(actual: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(actual.dims(), expected.dims());
    let (actual, expected) = (flat(actual), flat(expected));
    let size = expected.iter().fold(1e-3f64, |a, b| a.max(b.abs()));
    let differences = actual
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs() / size);
    differences.fold(0.0, f64::max)
}

/// Hidden states, the gradient of the input and those of the parameters.
fn run(
    (inputs, hidden): (usize, usize),
    lengths: &[usize],
    direction: Direction,
    dtype: DType,
) -> Vec<Tensor> {
    let parameters = parameters(inputs, hidden, dtype);
    let tokens = lengths.iter().sum();
    let x = Var::from_tensor(&random(&[tokens, inputs], 5).to_dtype(dtype).unwrap()).unwrap();
    let starts = Starts::from_lengths(lengths.iter().copied());
    let pass = Pass::train_without_dropout();
    let y = lstm(x.as_tensor(), &parameters, &starts, direction, &pass).unwrap();
    let weights = random(&[tokens, hidden], 6).to_dtype(dtype).unwrap();
    let loss = (&y * weights).unwrap().sum_all().unwrap();
    let all = parameters.all().map(Clone::clone);
    let store = backward(&loss, &all).unwrap();
    let mut results = vec![y, store.get(x.as_tensor()).unwrap().clone()];
    // Sentences of one token never use the recurrent weights: no gradient is one of zeros.
    let gradient = |p: &Parameter| match p.gradient_tensor().unwrap() {
        Some(gradient) => gradient,
        None => p.value().zeros_like().unwrap(),
    };
    results.extend(all.iter().map(gradient));
    results
}

#[test]
fn the_fused_operation_equals_its_composition() {
    for sizes in [(6, 5), (40, 32), (3, 130)] {
        for direction in DIRECTIONS {
            for lengths in [&LENGTHS[..], &[1, 1], &[4]] {
                let fused = run(sizes, lengths, direction, DType::F32);
                let plain = run(sizes, lengths, direction, DType::F64);
                for (index, (actual, expected)) in fused.iter().zip(&plain).enumerate() {
                    let difference = difference(actual, expected);
                    assert!(
                        difference < 5e-6,
                        "{sizes:?}, {direction:?}, {lengths:?}, {index}: {difference:e}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_sentence_does_not_depend_on_its_neighbours() {
    let parameters = parameters(40, 70, DType::F32);
    let x = random(&[LENGTHS.iter().sum(), 40], 7);
    let starts = Starts::from_lengths(LENGTHS);
    for direction in DIRECTIONS {
        let all = lstm(&x, &parameters, &starts, direction, &Pass::EVALUATE).unwrap();
        for (&start, length) in starts.first_rows().iter().zip(LENGTHS) {
            let rows = |t: &Tensor| t.narrow(0, start as usize, length).unwrap();
            let alone = Starts::from_lengths([length]);
            let y = lstm(&rows(&x), &parameters, &alone, direction, &Pass::EVALUATE).unwrap();
            assert_eq!(
                y.to_vec2::<f32>().unwrap(),
                rows(&all).to_vec2::<f32>().unwrap()
            );
        }
    }
}

#[test]
fn one_thread_equals_three() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let lengths: Vec<usize> = (0..40).map(|i| 1 + i * 7 % 23).collect();
        let results = pool.install(|| run((50, 140), &lengths, Direction::Backward, DType::F32));
        results.iter().map(flat).collect::<Vec<_>>()
    };
    assert!(run(1) == run(3));
}

#[test]
fn nothing_is_learnt_through_a_held_model() {
    let parameters = parameters(6, 5, DType::F32);
    let x = Var::from_tensor(&random(&[9, 6], 8)).unwrap();
    let starts = Starts::from_lengths([4, 5]);
    let y = lstm(
        x.as_tensor(),
        &parameters,
        &starts,
        Direction::Forward,
        &Pass::EVALUATE,
    )
    .unwrap();
    let all = parameters.all().map(Clone::clone);
    let store = backward(&y.sum_all().unwrap(), &all).unwrap();
    assert!(store.get(x.as_tensor()).is_some());
    assert!(all.iter().all(|p| p.gradient_tensor().unwrap().is_none()));
}

#[test]
fn mismatched_shapes_are_refused() {
    let starts = Starts::from_lengths([4, 5]);
    for x in [random(&[9, 7], 8), random(&[8, 6], 8)] {
        let result = lstm(
            &x,
            &parameters(6, 5, DType::F32),
            &starts,
            Direction::Forward,
            &Pass::EVALUATE,
        );
        assert!(result.unwrap_err().to_string().contains("lstm"));
    }
}

/// One direction of one layer of `fixtures/lstm`, under PyTorch's names.
fn reference_parameters(tensors: &HashMap<String, Tensor>, suffix: &str) -> LstmParameters {
    let parameter = |kind: &str| {
        let name = format!("{kind}_{suffix}");
        Parameter::new(&name, &tensors[&name]).unwrap()
    };
    LstmParameters {
        input_weight: parameter("weight_ih"),
        recurrent_weight: parameter("weight_hh"),
        input_bias: parameter("bias_ih"),
        recurrent_bias: parameter("bias_hh"),
    }
}

#[test]
fn two_layers_in_both_directions_equal_pytorch() {
    // From scripts/reference/lstm.py.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/lstm");
    let tensors =
        candle_core::safetensors::load(folder.join("reference.safetensors"), &Device::Cpu).unwrap();
    let starts = Starts::from_lengths([7, 3, 5, 1]);
    let pass = Pass::train_without_dropout();
    let ends: Vec<u32> = starts.offsets()[1..].iter().map(|end| end - 1).collect();
    for loss_name in ["output", "last"] {
        let layers = [0, 1].map(|layer| {
            ["", "_reverse"].map(|side| reference_parameters(&tensors, &format!("l{layer}{side}")))
        });
        let x = Var::from_tensor(&tensors["input"]).unwrap();
        let mut hidden = x.as_tensor().clone();
        let mut last = None;
        for layer in &layers {
            let [forward, back] = [0, 1]
                .map(|side| lstm(&hidden, &layer[side], &starts, DIRECTIONS[side], &pass).unwrap());
            let rows = |t: &Tensor, rows: &[u32]| {
                t.index_select(&Tensor::new(rows, &Device::Cpu).unwrap(), 0)
                    .unwrap()
            };
            let ends = [rows(&forward, &ends), rows(&back, starts.first_rows())];
            last = Some(Tensor::cat(&ends, D::Minus1).unwrap());
            hidden = Tensor::cat(&[forward, back], D::Minus1).unwrap();
        }
        let last = last.unwrap();
        assert!(difference(&hidden, &tensors["output"]) < 1e-6);
        assert!(difference(&last, &tensors["last"]) < 1e-6);

        let result = if loss_name == "output" { hidden } else { last };
        let loss = (result * &tensors[&format!("{loss_name}_weights")]).unwrap();
        let all: Vec<Parameter> = layers
            .iter()
            .flatten()
            .flat_map(LstmParameters::all)
            .cloned()
            .collect();
        let store = backward(&loss.sum_all().unwrap(), &all).unwrap();
        let gradients = all
            .iter()
            .map(|p| (p.name(), p.gradient_tensor().unwrap().unwrap()));
        let input = ("input", store.get(x.as_tensor()).unwrap().clone());
        for (name, gradient) in gradients.chain([input]) {
            let difference = difference(&gradient, &tensors[&format!("grad_{loss_name}.{name}")]);
            assert!(
                difference < 1e-5,
                "{loss_name}: gradient of {name}: {difference:e}"
            );
        }
    }
}
