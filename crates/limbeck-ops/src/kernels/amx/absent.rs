//! In place of matrix tiles where there are none: a proof that nobody has.

use super::gemm::Start;
use super::lines::Lines;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Amx {}

impl Amx {
    pub(crate) fn detect() -> Option<Self> {
        None
    }
}

pub(crate) struct Right(Amx);

pub(crate) fn pays(_: usize, _: usize) -> bool {
    false
}

impl Right {
    pub(crate) fn pack(amx: Amx, _: Lines<'_>, _: (usize, usize), _: usize) -> Self {
        match amx {}
    }

    pub(crate) fn multiply(&self, _: &mut [f32], _: Lines<'_>, _: usize, _: Start<'_>, _: usize) {
        match self.0 {}
    }
}
