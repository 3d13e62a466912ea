//! Fused tensor operations over packed, padding-free batches, each with its backward pass.
//!
//! On the CPU in single precision the operations run as fused kernels; elsewhere (a GPU, double
//! precision) the same functions run as compositions of candle's operations ([`plain`]), which are
//! also what the kernels are tested against. Parameters own their gradients ([`Parameter`]).
//! Functions fail on mismatched shapes.
//!
//! Results do not depend on the number of threads, and a sentence's results do not depend on the
//! other sentences of its batch.

#![expect(
    clippy::inline_always,
    reason = "code compiled for wide vectors must be inlined into the function that chose them"
)]

mod access;
mod activation;
mod anchor;
mod attention;
mod attention_maps;
mod buffer;
mod dropout;
mod embedding;
mod kernels;
mod layer;
mod layer_norm;
mod linear;
pub mod loss;
mod lstm;
pub mod optimizer;
mod parameter;
mod pass;
pub mod plain;
mod pool;
mod product;
mod relative;
mod selection;
mod starts;
mod threads;

pub use activation::{activation, leaky_relu};
pub use attention::attention;
pub use attention_maps::AttentionMaps;
pub use dropout::{DropoutKey, dropout, mix64};
pub use embedding::{EmbeddingIds, embedding_sum};
pub use kernels::activation::Activation;
pub use kernels::gemm::{has_tiles, serially, without_tiles};
pub use layer::{
    LayerParameters, LayerSpec, Queries, transformer_layer, transformer_layer_with_maps,
};
pub use layer_norm::{LayerNorm, add_layer_norm, layer_norm};
pub use linear::linear;
pub use lstm::{Direction, LstmParameters, lstm};
pub use parameter::{Gradient, Parameter, Rows, backward, backward_to_inputs};
pub use pass::{Learning, Pass};
pub use pool::mean_pool;
pub use product::row_products;
pub use relative::RelativePositionBias;
pub use starts::Starts;
pub use threads::start_threads;
