//! Losses and optimisers against PyTorch. Numbers from `scripts/reference/{losses,optimizers}.py`.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;

use candle_core::{DType, Device, Result, Tensor, Var};
use limbeck_ops::Parameter;
use limbeck_ops::loss::{Reduction, SquaredReduction, cross_entropy, soft_targets, squared_error};
use limbeck_ops::optimizer::{Optimizer, Rule};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name);
    serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn matrix(value: &Value, dtype: DType) -> Tensor {
    let rows = value.as_array().unwrap().len();
    assert!(rows > 0);
    let values = numbers(value);
    let columns = values.len() / rows;
    Tensor::from_vec(values, (rows, columns), &Device::Cpu)
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

fn loss(name: &str, temperature: f64, student: &Tensor, case: &Value) -> Result<Tensor> {
    let target = || matrix(&case["teacher"], student.dtype());
    match name {
        "cross_entropy" => {
            let labels: Vec<u32> = numbers(&case["labels"]).iter().map(|&l| l as u32).collect();
            cross_entropy(student, &labels)
        }
        "mse_class_sum" => squared_error(student, &target(), SquaredReduction::BatchMean),
        "mse_element_mean" | "regression" => {
            squared_error(student, &target(), SquaredReduction::ElementMean)
        }
        "soft_batch_mean" => soft_targets(student, &target(), temperature, Reduction::BatchMean),
        "soft_element_mean" => {
            soft_targets(student, &target(), temperature, Reduction::ElementMean)
        }
        "soft_cross_entropy" => {
            soft_targets(student, &target(), temperature, Reduction::CrossEntropy)
        }
        other => panic!("unknown loss {other}"),
    }
}

/// In double precision the plain operations, in single precision the fused ones.
fn check_losses(dtype: DType, tolerance: f64) {
    let file = fixture("losses.json");
    let mut checked = 0;
    for case in file["cases"].as_array().unwrap() {
        for result in case["results"].as_array().unwrap() {
            let name = result["loss"].as_str().unwrap();
            let temperature = result["temperature"].as_f64().unwrap_or(1.0);
            let student = Var::from_tensor(&matrix(&case["student"], dtype)).unwrap();
            let value = loss(name, temperature, student.as_tensor(), case).unwrap();
            let store = value.backward().unwrap();
            let value = value
                .to_dtype(DType::F64)
                .unwrap()
                .to_scalar::<f64>()
                .unwrap();
            let expected = result["value"].as_f64().unwrap();
            assert!(
                (value - expected).abs() <= tolerance * expected.abs().max(1.0),
                "{name} at {temperature}: {value}, PyTorch {expected}"
            );
            let gradient = store
                .get(student.as_tensor())
                .unwrap()
                .to_dtype(DType::F64)
                .unwrap();
            let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for (a, b) in gradient.iter().zip(numbers(&result["gradient"])) {
                assert!(
                    (a - b).abs() <= tolerance * b.abs().max(1.0),
                    "{name} at {temperature}: gradient {a}, PyTorch {b}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 50);
}

#[test]
fn losses_match_pytorch_in_double_precision() {
    check_losses(DType::F64, 1e-9);
}

#[test]
fn losses_match_pytorch_in_single_precision() {
    check_losses(DType::F32, 1e-5);
}

#[test]
fn optimisers_match_pytorch() {
    let file = fixture("optimizers.json");
    let gradients: Vec<Vec<f64>> = file["gradients"]
        .as_array()
        .unwrap()
        .iter()
        .map(numbers)
        .collect();
    let mut checked = 0;
    for run in file["runs"].as_array().unwrap() {
        let option = |key: &str| run["options"][key].as_f64();
        let rule = if let Some(rho) = option("rho") {
            // PyTorch's Adadelta can add an L2 term to the gradient; ours has none.
            if option("weight_decay") != Some(0.0) {
                continue;
            }
            Rule::Adadelta {
                rho,
                epsilon: option("eps").unwrap(),
            }
        } else {
            let betas = numbers(&run["options"]["betas"]);
            Rule::AdamW {
                beta1: betas[0],
                beta2: betas[1],
                epsilon: option("eps").unwrap(),
                weight_decay: option("weight_decay").unwrap(),
            }
        };
        for (dtype, tolerance) in [(DType::F32, 2e-6), (DType::F64, 1e-12)] {
            // A column and not a vector: vectors do not decay.
            let start = numbers(&file["start"]);
            let start = Tensor::from_vec(start, (7, 1), &Device::Cpu)
                .unwrap()
                .to_dtype(dtype)
                .unwrap();
            let parameter = Parameter::new("weight", &start).unwrap();
            let mut optimizer = Optimizer::new(rule, std::slice::from_ref(&parameter));
            for (step, gradient) in gradients.iter().enumerate() {
                let gradient = Tensor::from_vec(gradient.clone(), (7, 1), &Device::Cpu).unwrap();
                parameter
                    .add_gradient(&gradient.to_dtype(dtype).unwrap())
                    .unwrap();
                let rate = run["learning_rates"][step]
                    .as_f64()
                    .or(option("lr"))
                    .unwrap();
                optimizer.step(rate, 1.0).unwrap();
                let value = parameter.value().to_dtype(DType::F64).unwrap();
                let value = value.flatten_all().unwrap().to_vec1::<f64>().unwrap();
                for (a, b) in value.iter().zip(numbers(&run["values"][step])) {
                    let error = (a - b).abs();
                    assert!(
                        error <= tolerance * b.abs().max(1.0),
                        "{} step {step}: {a}, PyTorch {b}",
                        run["name"]
                    );
                }
            }
            checked += 1;
        }
    }
    assert!(checked >= 8);
}

#[test]
fn rows_without_gradients_only_decay_until_they_have_one() {
    // One table with gradients for some rows only, against one whose gradients are dense with zeros.
    let start = Tensor::from_vec(
        (0..12).map(|i| i as f32 / 5.0).collect(),
        (4, 3),
        &Device::Cpu,
    )
    .unwrap();
    let (sparse, dense) = (
        Parameter::new("sparse", &start).unwrap(),
        Parameter::new("dense", &start).unwrap(),
    );
    let mut optimizers =
        [&sparse, &dense].map(|p| Optimizer::new(Rule::ADAMW, std::slice::from_ref(p)));
    for ids in [vec![1u32, 1], vec![3], vec![1], vec![0, 3]] {
        let ids = limbeck_ops::EmbeddingIds::new(vec![ids.into()]);
        let pass = limbeck_ops::Pass::train_without_dropout();
        let loss = limbeck_ops::embedding_sum(&[&sparse], &ids, &pass)
            .unwrap()
            .sqr()
            .unwrap()
            .sum_all()
            .unwrap();
        limbeck_ops::backward(&loss, &[]).unwrap();
        dense
            .add_gradient(&sparse.gradient_tensor().unwrap().unwrap())
            .unwrap();
        for optimizer in &mut optimizers {
            optimizer.step(0.1, 1.0).unwrap();
        }
        assert_eq!(
            sparse.value().to_vec2::<f32>().unwrap(),
            dense.value().to_vec2::<f32>().unwrap()
        );
    }
}

#[test]
fn a_parameter_that_a_step_does_not_reach_stays_as_it_is() {
    let value = Tensor::from_vec(vec![1.0f32, -2.0, 3.0, 4.0], (2, 2), &Device::Cpu).unwrap();
    let parameter = Parameter::new("p", &value).unwrap();
    let gradient = value.ones_like().unwrap();
    let mut optimizer = Optimizer::new(Rule::ADAMW, std::slice::from_ref(&parameter));
    let values = || parameter.value().flatten_all().unwrap().to_vec1::<f32>();
    parameter.add_gradient(&gradient).unwrap();
    optimizer.step(0.1, 1.0).unwrap();
    let reached = values().unwrap();
    assert_ne!(reached, [1.0, -2.0, 3.0, 4.0]);
    // PyTorch leaves out a parameter whose gradient is None: no decay, and nothing of the gradient before.
    optimizer.step(0.1, 1.0).unwrap();
    assert_eq!(values().unwrap(), reached);
}
