//! The equations of GAN-BERT (Croce et al. 2020, §3, after Salimans et al. 2016), on logits of all classes.
//!
//! Classes are the labels, perhaps "unknown", and last "fake"; `P` is the softmax over all of them.

use candle_core::{D, Result, Tensor};
use limbeck_ops::plain::{log_softmax, softmax};

/// Keeps logarithms finite, as in the released programs.
const EPSILON: f64 = 1e-8;

/// `mean over labelled rows of −log softmax(logits without "fake")[label]`; 0 where no row has a label.
///
/// `logits`: `[B, K]`; `labels`: `B`. "Unknown", where there is one, is never a label but takes mass.
pub fn supervised(logits: &Tensor, labels: &[Option<u32>]) -> Result<Tensor> {
    let (rows, targets): (Vec<u32>, Vec<u32>) = (0..)
        .zip(labels)
        .filter_map(|(row, label)| Some((row, (*label)?)))
        .unzip();
    let count = rows.len();
    if count == 0 {
        return Tensor::zeros((), logits.dtype(), logits.device());
    }
    let device = logits.device();
    let logits = logits.contiguous()?;
    let labelled = logits.index_select(&Tensor::from_vec(rows, count, device)?, 0)?;
    let without_fake = labelled.narrow(D::Minus1, 0, logits.dim(D::Minus1)? - 1)?;
    let targets = Tensor::from_vec(targets, (count, 1), device)?;
    log_softmax(&without_fake.contiguous()?)?
        .gather(&targets, 1)?
        .mean_all()?
        .neg()
}

/// `−mean log(1 − P_fake + ε)`: of real sentences the discriminator's loss, of generated vectors the
/// generator's. `logits`: `[B, K]`.
pub fn taken_for_real(logits: &Tensor) -> Result<Tensor> {
    let real = fake_probability(logits)?.affine(-1.0, 1.0 + EPSILON)?;
    real.log()?.mean_all()?.neg()
}

/// `−mean log(P_fake + ε)`: of generated vectors the discriminator's loss. `logits`: `[B, K]`.
pub fn taken_for_fake(logits: &Tensor) -> Result<Tensor> {
    let fake = (fake_probability(logits)? + EPSILON)?;
    fake.log()?.mean_all()?.neg()
}

/// `mean over H of (mean over B of real − mean over B of generated)²`; both `[B, H]`.
pub fn feature_matching(real: &Tensor, generated: &Tensor) -> Result<Tensor> {
    (real.mean(0)? - generated.mean(0)?)?.sqr()?.mean_all()
}

/// `[B]`.
fn fake_probability(logits: &Tensor) -> Result<Tensor> {
    let last = logits.dim(D::Minus1)? - 1;
    softmax(logits)?
        .narrow(D::Minus1, last, 1)?
        .squeeze(D::Minus1)
}
