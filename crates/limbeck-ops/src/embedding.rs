//! Sums of embedding rows, with gradients that touch only the rows that occurred.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;
use std::sync::Arc;

use crate::access::with_parameters;
use crate::anchor;
use crate::kernels::{for_row_groups, simd};
use crate::parameter::Parameter;
use crate::pass::{Pass, learns};
use crate::plain;

/// Row numbers into each of several tables, `[N]` each.
#[derive(Debug, Clone)]
pub struct EmbeddingIds(Vec<Arc<[u32]>>);

impl EmbeddingIds {
    /// One list of `N` row numbers for each table.
    pub fn new(columns: Vec<Arc<[u32]>>) -> Self {
        Self(columns)
    }

    /// The lists, in the tables' order.
    pub fn columns(&self) -> impl Iterator<Item = &[u32]> {
        self.0.iter().map(|ids| &**ids)
    }

    fn tokens(&self) -> usize {
        self.0.first().map_or(0, |ids| ids.len())
    }
}

/// `y[i] = Σ over tables of table[ids[i]]`: word, position and segment embeddings in one pass.
///
/// `tables`: `[rows, H]` each. Returns `[N, H]`. Fails when a row number is outside its table.
pub fn embedding_sum(tables: &[&Parameter], ids: &EmbeddingIds, pass: &Pass) -> Result<Tensor> {
    for (table, ids) in tables.iter().zip(ids.columns()) {
        let rows = table.shape().dims()[0];
        if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
            bail!(
                "{}: row {id} asked for, but the table has {rows} rows",
                table.name()
            );
        }
    }
    if tables.iter().any(|table| !table.is_fused()) {
        return plain::embedding_sum(tables, ids, pass);
    }
    let op = EmbeddingSum {
        tables: tables.iter().copied().cloned().collect(),
        ids: ids.clone(),
    };
    let seed = tables[0].value().narrow(0, 0, 1)?;
    // The tables are not inputs of the graph; a leaf makes the backward pass come here.
    if pass.is_learning() {
        anchor::track(&seed)?.apply_op1(op)
    } else {
        seed.apply_op1(op)
    }
}

struct EmbeddingSum {
    tables: Vec<Parameter>,
    ids: EmbeddingIds,
}

impl CustomOp1 for EmbeddingSum {
    fn name(&self) -> &'static str {
        "embedding-sum"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let width = self.tables[0].row_len();
        let mut y = vec![0.0; self.ids.tokens() * width];
        for (table, ids) in self.tables.iter().zip(self.ids.columns()) {
            with_parameters([table], |[table]| {
                add_rows(&mut y, table, ids, width);
                Ok(())
            })?;
        }
        Ok((CpuStorage::F32(y), (self.ids.tokens(), width).into()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        if !learns(true) {
            return Ok(None);
        }
        crate::access::with_data(gradient, |gradient| {
            for (table, ids) in self.tables.iter().zip(self.ids.columns()) {
                if table.is_trainable() {
                    let width = table.row_len();
                    table.gradient().add_rows(table.len(), ids, |total| {
                        scatter(total, gradient, ids, width);
                    });
                }
            }
            Ok(())
        })?;
        Ok(None)
    }
}

fn add_rows(y: &mut [f32], table: &[f32], ids: &[u32], width: usize) {
    for_row_groups(y, width, |first, rows| {
        simd(
            #[inline(always)]
            || {
                for (row, &id) in rows.chunks_exact_mut(width).zip(&ids[first..]) {
                    for (out, &value) in row.iter_mut().zip(&table[id as usize * width..][..width])
                    {
                        *out += value;
                    }
                }
            },
        );
    });
}

/// Adds every token's gradient to its row, tokens in order.
fn scatter(total: &mut [f32], gradient: &[f32], ids: &[u32], width: usize) {
    // Rows sorted by id, tokens of one id in order: tasks own disjoint rows.
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_by_key(|&token| ids[token as usize]);
    let groups: Vec<&[u32]> = order
        .chunk_by(|&a, &b| ids[a as usize] == ids[b as usize])
        .collect();
    let mut rows = Vec::with_capacity(groups.len());
    let mut rest = total;
    let mut passed = 0;
    for group in &groups {
        let at = ids[group[0] as usize] as usize * width;
        let (_, tail) = std::mem::take(&mut rest).split_at_mut(at - passed);
        let (row, tail) = tail.split_at_mut(width);
        rows.push(row);
        rest = tail;
        passed = at + width;
    }
    rows.into_par_iter()
        .zip(groups)
        .with_min_len(16)
        .for_each(|(row, group)| {
            simd(
                #[inline(always)]
                || {
                    for &token in group {
                        for (out, &value) in row
                            .iter_mut()
                            .zip(&gradient[token as usize * width..][..width])
                        {
                            *out += value;
                        }
                    }
                },
            );
        });
}
