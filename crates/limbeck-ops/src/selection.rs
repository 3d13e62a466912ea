//! Rows of a tensor, selected with a backward pass that selects, too.
//!
//! The backward pass of candle's own selection adds row after row, on a GPU one after the other. Where no row is taken twice,
//! and where it is known which are, all rows can be filled at once, by the same additions in any run.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, Layout, Result, Shape, Storage, Tensor, bail,
};

/// In a list of rows: zeros.
pub(crate) const NONE: u32 = u32::MAX;

/// Matrices above this size would cost more than they save.
const LARGEST: usize = 1 << 24;

/// `y[i] = x[rows[i]]`, zeros for [`NONE`]; `inverse[j]` is the one place in `rows` that has `j`, [`NONE`] where none has.
pub(crate) fn select_once(x: &Tensor, rows: Vec<u32>, inverse: Vec<u32>) -> Result<Tensor> {
    let device = x.device();
    x.contiguous()?.apply_op1(Selection {
        rows: Tensor::new(rows, device)?,
        inverse: Tensor::new(inverse, device)?,
        sums: None,
    })
}

/// `y[i] = table[ids[i]]` for a table that learns; ids may occur often.
pub(crate) fn select_learning(table: &Tensor, ids: &[u32]) -> Result<Tensor> {
    let device = table.device();
    let rows = Tensor::new(ids, device)?;
    let mut unique = ids.to_vec();
    unique.sort_unstable();
    unique.dedup();
    if unique.len() * ids.len() > LARGEST {
        return table.index_select(&rows, 0);
    }
    let mut inverse = vec![NONE; table.dim(0)?];
    for (place, &id) in (0..).zip(&unique) {
        inverse[id as usize] = place;
    }
    let mut sums = vec![0.0f32; unique.len() * ids.len()];
    for (column, &id) in ids.iter().enumerate() {
        sums[inverse[id as usize] as usize * ids.len() + column] = 1.0;
    }
    let sums = Tensor::from_vec(sums, (unique.len(), ids.len()), device)?;
    table.contiguous()?.apply_op1(Selection {
        rows,
        inverse: Tensor::new(inverse, device)?,
        sums: Some(sums.to_dtype(table.dtype())?),
    })
}

struct Selection {
    rows: Tensor,
    inverse: Tensor,
    /// For rows taken more than once, `[U, N]`: which places have each of the rows that were taken.
    sums: Option<Tensor>,
}

impl Selection {
    fn shape(&self, layout: &Layout) -> Shape {
        let mut dims = layout.dims().to_vec();
        dims[0] = self.rows.elem_count();
        dims.into()
    }
}

impl CustomOp1 for Selection {
    fn name(&self) -> &'static str {
        "selection"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, rows_layout) = self.rows.storage_and_layout();
        let Storage::Cpu(rows) = &*rows else {
            bail!("a selection needs rows and data on one device")
        };
        let y = storage.index_select(rows, layout, rows_layout, 0)?;
        Ok((y, self.shape(layout)))
    }

    fn cuda_fwd(&self, storage: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (rows, rows_layout) = self.rows.storage_and_layout();
        let Storage::Cuda(rows) = &*rows else {
            bail!("a selection needs rows and data on one device")
        };
        let y = storage.index_select(rows, layout, rows_layout, 0)?;
        Ok((y, self.shape(layout)))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = match &self.sums {
            Some(sums) => sums.matmul(&gradient.contiguous()?)?,
            None => gradient.contiguous()?,
        };
        Ok(Some(gradient.index_select(&self.inverse, 0)?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    /// Values and gradient of a sum in which every selected number has a weight of its own.
    fn both(x: &Var, select: impl Fn(&Tensor) -> Tensor) -> (Vec<f64>, Vec<f64>) {
        let y = select(x.as_tensor());
        let weights: Vec<f64> = (0..y.elem_count()).map(|i| (i as f64).sin()).collect();
        let weights = Tensor::from_vec(weights, y.shape(), &Device::Cpu).unwrap();
        let store = (&y * weights)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let numbers = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        (numbers(&y), numbers(store.get(x.as_tensor()).unwrap()))
    }

    fn table() -> Var {
        let values: Vec<f64> = (0..21).map(|i| f64::from(i).cos()).collect();
        Var::from_tensor(&Tensor::from_vec(values, (7, 3), &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn a_selection_equals_candles_own() {
        let x = table();
        let ids = [2u32, 6, 2, 0, 2, 6];
        let expected = both(&x, |x| {
            x.index_select(&Tensor::new(&ids, &Device::Cpu).unwrap(), 0)
                .unwrap()
        });
        let actual = both(&x, |x| select_learning(x, &ids).unwrap());
        assert_eq!(actual.0, expected.0);
        for (a, b) in actual.1.iter().zip(&expected.1) {
            assert!((a - b).abs() < 1e-12, "{a} for {b}");
        }
    }

    #[test]
    fn what_is_selected_once_gets_its_gradient_and_zeros_none() {
        let x = table();
        let (values, gradient) = both(&x, |x| {
            let inverse = vec![NONE, NONE, 2, 0, NONE, NONE, NONE];
            select_once(x, vec![3, NONE, 2], inverse).unwrap()
        });
        let row = |row: usize| (0..3).map(move |c| f64::from((3 * row + c) as u32).cos());
        let expected: Vec<f64> = row(3).chain([0.0; 3]).chain(row(2)).collect();
        assert_eq!(values, expected);
        let weight = |place: usize| (0..3).map(move |c| ((3 * place + c) as f64).sin());
        let expected: Vec<f64> = [0.0; 6]
            .into_iter()
            .chain(weight(2))
            .chain(weight(0))
            .chain([0.0; 9])
            .collect();
        assert_eq!(gradient, expected);
    }
}
