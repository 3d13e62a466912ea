//! Making a constant input part of the graph.

use candle_core::{Result, Tensor, Var};

/// The same values as a leaf of the graph, so that operations on it are recorded.
///
/// Parameters are not graph inputs of the fused operations; when the activations are constants too
/// (token ids, frozen embeddings), nothing would lead the backward pass to them.
pub(crate) fn track(x: &Tensor) -> Result<Tensor> {
    Ok(Var::from_tensor(x)?.into_inner())
}
