//! Reading tensors on the CPU as slices.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

use crate::parameter::Parameter;

/// Contiguous single-precision data behind storage and layout.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let CpuStorage::F32(values) = storage else {
        bail!("a fused operation needs f32 data")
    };
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => bail!("a fused operation needs contiguous data"),
    }
}

/// Calls `work` with a contiguous tensor's data.
pub(crate) fn with_data<R>(tensor: &Tensor, work: impl FnOnce(&[f32]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => work(slice(storage, layout)?),
        _ => bail!("a fused operation needs data on the CPU"),
    }
}

/// Calls `work` with several parameters' data.
pub(crate) fn with_parameters<const N: usize, R>(
    parameters: [&Parameter; N],
    work: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let values = parameters.map(Parameter::value);
    let guards: [_; N] = std::array::from_fn(|i| values[i].storage_and_layout());
    let mut slices: [&[f32]; N] = [&[]; N];
    for (out, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("a fused operation needs data on the CPU")
        };
        *out = slice(storage, layout)?;
    }
    work(slices)
}
