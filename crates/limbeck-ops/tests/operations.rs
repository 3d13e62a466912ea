//! Each fused operation equals its plain candle composition, in value and in every gradient.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor, Var};
use limbeck_ops::{
    Activation, DropoutKey, EmbeddingIds, LayerNorm, LayerParameters, LayerSpec, Parameter, Pass,
    Queries, RelativePositionBias, Starts, add_layer_norm, attention, backward, embedding_sum,
    layer_norm, linear, loss, mean_pool, plain, transformer_layer, transformer_layer_with_maps,
};

fn random(shape: &[usize], seed: u64, spread: f32) -> Tensor {
    let mut state = limbeck_ops::mix64(seed);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = limbeck_ops::mix64(state);
            ((state >> 40) as f32 / (1 << 23) as f32 - 1.0) * spread
        })
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn parameter(name: &str, shape: &[usize], seed: u64) -> Parameter {
    Parameter::new(name, &random(shape, seed, 0.3)).unwrap()
}

/// The largest difference, relative to the largest magnitude of the expected tensor.
fn difference(actual: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(actual.dims(), expected.dims());
    let flat = |t: &Tensor| {
        t.to_dtype(DType::F64)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f64>()
            .unwrap()
    };
    let (actual, expected) = (flat(actual), flat(expected));
    let size = expected.iter().fold(1e-3f64, |a, b| a.max(b.abs()));
    actual
        .iter()
        .zip(&expected)
        .map(|(a, b)| (a - b).abs() / size)
        .fold(0.0, f64::max)
}

/// Values and gradients of the same work in single precision (fused) and double precision (plain).
fn check(
    inputs: &[Tensor],
    parameters: &[Parameter],
    tolerance: f64,
    work: impl Fn(&[Tensor], &[Parameter]) -> Result<Tensor>,
) {
    let run = |dtype: DType| {
        let vars: Vec<Var> = inputs
            .iter()
            .map(|x| Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
        let parameters: Vec<Parameter> = parameters
            .iter()
            .map(|p| Parameter::new(p.name(), &p.value().to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let y = work(&tensors, &parameters).unwrap();
        let weights = random(y.dims(), 99, 1.0).to_dtype(dtype).unwrap();
        let store = backward(&(&y * weights).unwrap().sum_all().unwrap(), &parameters).unwrap();
        let mut gradients = Vec::new();
        for (index, var) in vars.iter().enumerate() {
            gradients.push((
                format!("input {index}"),
                store.get(var.as_tensor()).unwrap().clone(),
            ));
        }
        for parameter in &parameters {
            let gradient = parameter.gradient_tensor().unwrap();
            gradients.push((
                parameter.name().to_owned(),
                gradient.unwrap_or_else(|| panic!("{} has no gradient", parameter.name())),
            ));
        }
        (y, gradients)
    };
    let (y, gradients) = run(DType::F32);
    let (expected_y, expected) = run(DType::F64);
    assert!(
        difference(&y, &expected_y) < tolerance,
        "value: {:e}",
        difference(&y, &expected_y)
    );
    for ((name, actual), (_, expected)) in gradients.iter().zip(&expected) {
        let difference = difference(actual, expected);
        assert!(difference < tolerance, "gradient of {name}: {difference:e}");
    }
}

fn pass(with_dropout: bool, tokens: usize) -> Pass {
    if with_dropout {
        Pass::train(DropoutKey::new(
            5,
            Arc::new((0..tokens as u64).map(|i| i * 7).collect()),
        ))
    } else {
        Pass::train_without_dropout()
    }
}

const LENGTHS: [usize; 5] = [7, 1, 19, 33, 2];

fn starts() -> Starts {
    Starts::from_lengths(LENGTHS)
}

fn spec(heads: usize, bias: Option<Parameter>) -> LayerSpec {
    LayerSpec {
        heads,
        epsilon: 1e-12,
        activation: Activation::Gelu,
        attention_output_dropout: 0.1,
        hidden_dropout: 0.1,
        attention_dropout: 0.2,
        site: 8,
        relative_bias: bias.map(|table| RelativePositionBias {
            table,
            max_distance: 128,
        }),
    }
}

#[test]
fn linear_equals_its_composition() {
    for (rows, inputs, outputs) in [(1, 5, 3), (40, 24, 70), (61, 600, 33)] {
        let parameters = [
            parameter("weight", &[outputs, inputs], 1),
            parameter("bias", &[outputs], 2),
        ];
        check(
            &[random(&[rows, inputs], 3, 1.0)],
            &parameters,
            2e-6,
            |x, p| linear(&x[0], &p[0], Some(&p[1]), &Pass::train_without_dropout()),
        );
    }
}

#[test]
fn layer_norm_equals_its_composition() {
    for with_dropout in [false, true] {
        let parameters = [parameter("scale", &[50], 1), parameter("shift", &[50], 2)];
        let inputs = [random(&[62, 50], 3, 1.0), random(&[62, 50], 4, 1.0)];
        check(&inputs, &parameters, 1e-5, |x, p| {
            let norm = LayerNorm {
                scale: p[0].clone(),
                shift: p[1].clone(),
                epsilon: 1e-5,
            };
            add_layer_norm(&x[0], &x[1], &norm, (0.3, 4), &pass(with_dropout, 62))
        });
        check(&inputs[..1], &parameters, 1e-5, |x, p| {
            let norm = LayerNorm {
                scale: p[0].clone(),
                shift: p[1].clone(),
                epsilon: 1e-5,
            };
            layer_norm(&x[0], &norm, &pass(with_dropout, 62))
        });
    }
}

#[test]
fn activations_equal_their_compositions() {
    for function in [Activation::Gelu, Activation::GeluTanh, Activation::Relu] {
        check(&[random(&[40, 30], 1, 4.0)], &[], 2e-6, |x, _| {
            limbeck_ops::activation(&x[0], function)
        });
    }
}

#[test]
fn attention_equals_its_composition() {
    for (heads, size) in [(2, 32), (3, 5), (4, 16)] {
        for with_dropout in [false, true] {
            let hidden = heads * size;
            let qkv = random(&[62, 3 * hidden], 1, 1.5);
            check(std::slice::from_ref(&qkv), &[], 1e-5, |x, _| {
                attention(
                    &x[0],
                    &starts(),
                    &spec(heads, None),
                    &pass(with_dropout, 62),
                )
            });
            check(
                &[qkv],
                &[parameter("bias", &[32, heads], 3)],
                1e-5,
                |x, p| {
                    attention(
                        &x[0],
                        &starts(),
                        &spec(heads, Some(p[0].clone())),
                        &pass(with_dropout, 62),
                    )
                },
            );
        }
    }
}

fn layer_parameters(hidden: usize, inner: usize) -> Vec<Parameter> {
    let shapes: [(&str, Vec<usize>); 12] = [
        ("qkv weight", vec![3 * hidden, hidden]),
        ("qkv bias", vec![3 * hidden]),
        ("output weight", vec![hidden, hidden]),
        ("output bias", vec![hidden]),
        ("attention norm scale", vec![hidden]),
        ("attention norm shift", vec![hidden]),
        ("up weight", vec![inner, hidden]),
        ("up bias", vec![inner]),
        ("down weight", vec![hidden, inner]),
        ("down bias", vec![hidden]),
        ("norm scale", vec![hidden]),
        ("norm shift", vec![hidden]),
    ];
    shapes
        .iter()
        .enumerate()
        .map(|(i, (name, shape))| parameter(name, shape, i as u64 + 10))
        .collect()
}

fn layer(p: &[Parameter]) -> LayerParameters {
    let [
        qkv_weight,
        qkv_bias,
        output_weight,
        output_bias,
        attention_norm_scale,
        attention_norm_shift,
        up_weight,
        up_bias,
        down_weight,
        down_bias,
        norm_scale,
        norm_shift,
    ] = <[Parameter; 12]>::try_from(p[..12].to_vec()).unwrap();
    LayerParameters {
        qkv_weight,
        qkv_bias,
        output_weight,
        output_bias,
        attention_norm_scale,
        attention_norm_shift,
        up_weight,
        up_bias,
        down_weight,
        down_bias,
        norm_scale,
        norm_shift,
    }
}

#[test]
fn a_transformer_layer_equals_its_composition() {
    for queries in [Queries::All, Queries::First] {
        for with_dropout in [false, true] {
            for with_bias in [false, true] {
                let mut parameters = layer_parameters(24, 40);
                if with_bias {
                    parameters.push(parameter("bias", &[32, 3], 3));
                }
                check(&[random(&[62, 24], 1, 1.0)], &parameters, 2e-5, |x, p| {
                    let spec = spec(3, p.get(12).cloned());
                    transformer_layer(
                        &x[0],
                        &layer(p),
                        &starts(),
                        &spec,
                        queries,
                        &pass(with_dropout, 62),
                    )
                });
            }
        }
    }
}

#[test]
fn a_fused_layer_equals_its_fused_parts_exactly() {
    let parameters = layer_parameters(48, 100);
    let x = random(&[62, 48], 1, 1.0);
    let (spec, pass, w) = (spec(4, None), pass(true, 62), layer(&parameters));
    let whole = transformer_layer(&x, &w, &starts(), &spec, Queries::All, &pass).unwrap();
    let norm = |scale: &Parameter, shift: &Parameter| LayerNorm {
        scale: scale.clone(),
        shift: shift.clone(),
        epsilon: 1e-12,
    };
    let parts = || -> Result<Tensor> {
        let qkv = linear(&x, &w.qkv_weight, Some(&w.qkv_bias), &pass)?;
        let context = attention(&qkv, &starts(), &spec, &pass)?;
        let out = linear(&context, &w.output_weight, Some(&w.output_bias), &pass)?;
        let middle = add_layer_norm(
            &out,
            &x,
            &norm(&w.attention_norm_scale, &w.attention_norm_shift),
            (0.1, 9),
            &pass,
        )?;
        let inner = limbeck_ops::activation(
            &linear(&middle, &w.up_weight, Some(&w.up_bias), &pass)?,
            Activation::Gelu,
        )?;
        let out = linear(&inner, &w.down_weight, Some(&w.down_bias), &pass)?;
        add_layer_norm(
            &out,
            &middle,
            &norm(&w.norm_scale, &w.norm_shift),
            (0.1, 10),
            &pass,
        )
    };
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(&whole), flat(&parts().unwrap()));
}

#[test]
fn first_queries_are_the_first_rows_of_all_queries() {
    let w = layer(&layer_parameters(48, 100));
    let x = random(&[62, 48], 1, 1.0);
    for pass in [pass(true, 62), Pass::EVALUATE] {
        let all =
            transformer_layer(&x, &w, &starts(), &spec(4, None), Queries::All, &pass).unwrap();
        let first =
            transformer_layer(&x, &w, &starts(), &spec(4, None), Queries::First, &pass).unwrap();
        let rows = Tensor::new(starts().first_rows(), &Device::Cpu).unwrap();
        assert_eq!(
            all.index_select(&rows, 0)
                .unwrap()
                .to_vec2::<f32>()
                .unwrap(),
            first.to_vec2::<f32>().unwrap()
        );
    }
}

#[test]
fn a_sentence_does_not_depend_on_its_neighbours() {
    let w = layer(&layer_parameters(48, 100));
    let x = random(&[62, 48], 1, 1.0);
    let all = transformer_layer(
        &x,
        &w,
        &starts(),
        &spec(4, None),
        Queries::All,
        &Pass::EVALUATE,
    )
    .unwrap();
    for (&start, length) in starts().first_rows().iter().zip(LENGTHS) {
        let alone = x.narrow(0, start as usize, length).unwrap();
        let y = transformer_layer(
            &alone,
            &w,
            &Starts::from_lengths([length]),
            &spec(4, None),
            Queries::All,
            &Pass::EVALUATE,
        )
        .unwrap();
        let expected = all.narrow(0, start as usize, length).unwrap();
        assert_eq!(
            y.to_vec2::<f32>().unwrap(),
            expected.to_vec2::<f32>().unwrap()
        );
    }
}

#[test]
fn embedding_sums_equal_their_composition() {
    let ids = EmbeddingIds::new(vec![
        Arc::from([3u32, 9, 3, 3, 0, 11]),
        Arc::from([0u32, 1, 2, 0, 1, 2]),
    ]);
    let parameters = [
        parameter("words", &[12, 20], 1),
        parameter("positions", &[4, 20], 2),
    ];
    check(&[], &parameters, 1e-6, |_, p| {
        embedding_sum(&[&p[0], &p[1]], &ids, &Pass::train_without_dropout())
    });
}

#[test]
fn mean_pooling_equals_its_composition() {
    check(&[random(&[62, 20], 1, 1.0)], &[], 1e-6, |x, _| {
        mean_pool(&x[0], &starts())
    });
}

#[test]
fn losses_equal_their_compositions() {
    let logits = [random(&[6, 5], 1, 5.0)];
    let teacher = random(&[6, 5], 2, 5.0);
    check(&logits, &[], 1e-6, |x, _| {
        loss::cross_entropy(&x[0], &[0, 4, 2, 2, 1, 3])
    });
    for reduction in [
        loss::Reduction::BatchMean,
        loss::Reduction::ElementMean,
        loss::Reduction::CrossEntropy,
    ] {
        for temperature in [1.0, 4.0] {
            check(&logits, &[], 2e-6, |x, _| {
                loss::soft_targets(
                    &x[0],
                    &teacher.to_dtype(x[0].dtype())?,
                    temperature,
                    reduction,
                )
            });
        }
    }
}

#[test]
fn nothing_is_learnt_through_a_held_model() {
    let parameters = layer_parameters(24, 40);
    let x = Var::from_tensor(&random(&[62, 24], 1, 1.0)).unwrap();
    let y = transformer_layer(
        x.as_tensor(),
        &layer(&parameters),
        &starts(),
        &spec(3, None),
        Queries::All,
        &Pass::EVALUATE,
    )
    .unwrap();
    let store = backward(&y.sum_all().unwrap(), &parameters).unwrap();
    assert!(store.get(x.as_tensor()).is_some());
    assert!(
        parameters
            .iter()
            .all(|p| p.gradient_tensor().unwrap().is_none())
    );
}

#[test]
fn one_thread_equals_three() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let parameters = layer_parameters(48, 200);
            let x = Var::from_tensor(&random(&[62, 48], 1, 1.0)).unwrap();
            let y = transformer_layer(
                x.as_tensor(),
                &layer(&parameters),
                &starts(),
                &spec(4, None),
                Queries::All,
                &pass(true, 62),
            )
            .unwrap();
            let store = backward(&y.sqr().unwrap().sum_all().unwrap(), &parameters).unwrap();
            let mut all = vec![store.get(x.as_tensor()).unwrap().clone(), y];
            all.extend(
                parameters
                    .iter()
                    .map(|p| p.gradient_tensor().unwrap().unwrap()),
            );
            all.iter()
                .map(|t| t.flatten_all().unwrap().to_vec1::<f32>().unwrap())
                .collect::<Vec<_>>()
        })
    };
    assert!(run(1) == run(3));
}

#[test]
fn plain_softmax_rows_sum_to_one() {
    let sums = plain::softmax(&random(&[4, 6], 1, 9.0))
        .unwrap()
        .sum(1)
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert!(sums.iter().all(|s| (s - 1.0).abs() < 1e-6));
}

#[test]
fn a_layer_with_its_attention_scores_equals_its_composition() {
    for with_dropout in [false, true] {
        for with_bias in [false, true] {
            let mut parameters = layer_parameters(24, 40);
            if with_bias {
                parameters.push(parameter("bias", &[32, 3], 3));
            }
            // Output and scores side by side, so that gradients come back through both.
            check(&[random(&[62, 24], 1, 1.0)], &parameters, 2e-5, |x, p| {
                let spec = spec(3, p.get(12).cloned());
                let pass = pass(with_dropout, 62);
                let (y, maps) =
                    transformer_layer_with_maps(&x[0], &layer(p), &starts(), &spec, &pass)?;
                Tensor::cat(&[y.flatten_all()?, maps.scores], 0)
            });
            // And through the probabilities alone.
            let parameters: Vec<_> = parameters
                .into_iter()
                .enumerate()
                .filter(|(index, _)| *index < 2 || *index == 12)
                .collect();
            let all = layer_parameters(24, 40);
            let learning: Vec<_> = parameters.iter().map(|(_, p)| p.clone()).collect();
            check(&[random(&[62, 24], 1, 1.0)], &learning, 2e-5, |x, p| {
                let held = all.iter().map(|q| {
                    let value = q.value().to_dtype(p[0].value().dtype())?;
                    Parameter::new(q.name(), &value)
                });
                let mut held = held.collect::<Result<Vec<_>>>()?;
                held[0] = p[0].clone();
                held[1] = p[1].clone();
                let spec = spec(3, p.get(2).cloned());
                let pass = pass(with_dropout, 62);
                let (_, maps) =
                    transformer_layer_with_maps(&x[0], &layer(&held), &starts(), &spec, &pass)?;
                maps.probabilities()
            });
        }
    }
}

#[test]
fn a_second_backward_pass_does_not_see_the_scores_of_the_first() {
    let parameters = layer_parameters(24, 40);
    let x = Var::from_tensor(&random(&[62, 24], 1, 1.0)).unwrap();
    let (y, maps) = transformer_layer_with_maps(
        x.as_tensor(),
        &layer(&parameters),
        &starts(),
        &spec(3, None),
        &Pass::EVALUATE,
    )
    .unwrap();
    let gradient = |loss: &Tensor| {
        let store = backward(&loss.sum_all().unwrap(), &[]).unwrap();
        let gradient = store.get(x.as_tensor()).unwrap();
        gradient.to_vec2::<f32>().unwrap()
    };
    let alone = gradient(&y.sqr().unwrap());
    assert_ne!(alone, gradient(&maps.scores));
    assert_eq!(alone, gradient(&y.sqr().unwrap()));
}

#[test]
fn scores_with_and_without_a_graph_are_the_same() {
    let w = layer(&layer_parameters(48, 100));
    let x = random(&[62, 48], 1, 1.0);
    let run = |pass: &Pass| {
        let (y, maps) =
            transformer_layer_with_maps(&x, &w, &starts(), &spec(4, None), pass).unwrap();
        assert_eq!(y.track_op(), pass.is_learning());
        (
            y.to_vec2::<f32>().unwrap(),
            maps.scores.to_vec1::<f32>().unwrap(),
        )
    };
    let (y, scores) = run(&Pass::EVALUATE);
    assert_eq!((y.clone(), scores), run(&Pass::train_without_dropout()));
    let without = transformer_layer(
        &x,
        &w,
        &starts(),
        &spec(4, None),
        Queries::All,
        &Pass::EVALUATE,
    );
    assert_eq!(y, without.unwrap().to_vec2::<f32>().unwrap());
}

#[test]
fn losses_on_states_and_attention_equal_their_compositions() {
    let maps = |scores: &Tensor| limbeck_ops::AttentionMaps {
        scores: scores.clone(),
        starts: starts(),
        heads: 3,
    };
    let entries: usize = 3 * LENGTHS.iter().map(|t| t * t).sum::<usize>();
    let teacher = random(&[entries], 2, 3.0);
    check(&[random(&[entries], 1, 3.0)], &[], 1e-6, |x, _| {
        let teacher = teacher.to_dtype(x[0].dtype())?;
        loss::attention_divergence(&maps(&x[0]), &maps(&teacher))
    });
    check(&[random(&[entries], 1, 3.0)], &[], 1e-6, |x, _| {
        loss::squared_distance(&x[0], &teacher.to_dtype(x[0].dtype())?, 17.0)
    });
}
