use candle_core::{DType, Device, Tensor};
use limbeck_model::generator as stream;
use limbeck_ops::{Parameter, Pass, dropout, leaky_relu, linear, mix64};
use rand::Rng;

use crate::TrainError;

const SLOPE: f64 = 0.2;
/// Where its dropout takes place; no encoder uses it.
const SITE: u32 = 0;

/// Makes vectors like pooled sentences out of noise: `linear(Z, H), leaky ReLU(0.2), dropout, linear(H, H)`.
#[derive(Debug)]
pub struct Generator {
    layers: [(Parameter, Parameter); 2],
    dropout: f64,
}

impl Generator {
    /// Fresh weights as `torch.nn.Linear` draws them, evenly within `1/√inputs`.
    pub(super) fn new(
        (noise_size, hidden): (usize, usize),
        dropout: f64,
        seed: u64,
        (dtype, device): (DType, &Device),
    ) -> Result<Self, TrainError> {
        let mut random = stream(seed, "gan generator");
        let mut layer = |name: &str, inputs: usize| -> Result<_, TrainError> {
            let bound = 1.0 / (inputs as f64).sqrt();
            let mut parameter = |part: &str, shape: &[usize]| -> Result<Parameter, TrainError> {
                let draw = |_| random.random::<f64>().mul_add(2.0, -1.0) * bound;
                let values: Vec<f64> = (0..shape.iter().product()).map(draw).collect();
                let value = Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(dtype)?;
                let name = format!("gan-bert.{name}.{part}");
                Ok(Parameter::new(&name, &value.to_device(device)?)?)
            };
            Ok((
                parameter("weight", &[hidden, inputs])?,
                parameter("bias", &[hidden])?,
            ))
        };
        Ok(Self {
            layers: [layer("dense", noise_size)?, layer("output", hidden)?],
            dropout,
        })
    }

    /// Weight and bias of both layers.
    pub fn parameters(&self) -> Vec<Parameter> {
        let layers = self.layers.iter();
        layers
            .flat_map(|(weight, bias)| [weight.clone(), bias.clone()])
            .collect()
    }

    /// `noise`: `[B, Z]`. Returns `[B, H]`.
    pub fn generate(&self, noise: &Tensor, pass: &Pass) -> Result<Tensor, TrainError> {
        let [(dense, dense_bias), (output, output_bias)] = &self.layers;
        let hidden = leaky_relu(&linear(noise, dense, Some(dense_bias), pass)?, SLOPE)?;
        let hidden = dropout(&hidden, self.dropout, SITE, pass)?;
        Ok(linear(&hidden, output, Some(output_bias), pass)?)
    }
}

/// Even numbers in `[0, 1)`, `[ids, size]`: row `i` depends on `key` and `ids[i]` alone.
pub(super) fn noise(
    key: u64,
    ids: &[u64],
    size: usize,
    (dtype, device): (DType, &Device),
) -> Result<Tensor, TrainError> {
    let row = |&id: &u64| mix64(key ^ mix64(id));
    let number = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
    let values: Vec<f64> = ids
        .iter()
        .map(row)
        .flat_map(|row| (0..size as u64).map(move |column| number(mix64(row ^ mix64(column)))))
        .collect();
    let noise = Tensor::from_vec(values, (ids.len(), size), &Device::Cpu)?;
    Ok(noise.to_dtype(dtype)?.to_device(device)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_even_and_belongs_to_its_example() {
        let f64s = (DType::F64, &Device::Cpu);
        let rows = |ids: &[u64]| noise(7, ids, 500, f64s).unwrap().to_vec2::<f64>().unwrap();
        let all = rows(&(0..400).collect::<Vec<_>>());
        assert_eq!(rows(&[31, 2]), [all[31].clone(), all[2].clone()]);
        let mut counts = [0_u32; 10];
        for value in all.iter().flatten() {
            counts[(value * 10.0) as usize] += 1;
        }
        // 20,000 of each expected, with a standard deviation of 134.
        assert!(
            counts.iter().all(|&n| n.abs_diff(20_000) < 600),
            "{counts:?}"
        );
        assert!(
            noise(8, &[31], 500, f64s)
                .unwrap()
                .to_vec2::<f64>()
                .unwrap()[0]
                != all[31]
        );
    }
}
