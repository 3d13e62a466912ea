//! How a matrix product sees its operands.

/// One operand of a matrix product: lines of equal depth, whose dot products are the output.
///
/// Element `(line, depth)` is `data[line * line_stride + depth * depth_stride]`; one of the strides
/// is 1.
#[derive(Clone, Copy)]
pub(crate) struct Lines<'a> {
    pub(super) data: &'a [f32],
    pub(super) line_stride: usize,
    pub(super) depth_stride: usize,
}

impl<'a> Lines<'a> {
    /// The rows of `data`, `[lines, depth]`.
    pub(crate) fn rows(data: &'a [f32], depth: usize) -> Self {
        Self {
            data,
            line_stride: depth,
            depth_stride: 1,
        }
    }

    /// The columns of `data`, `[depth, lines]`.
    pub(crate) fn columns(data: &'a [f32], lines: usize) -> Self {
        Self {
            data,
            line_stride: 1,
            depth_stride: lines,
        }
    }

    /// The same lines without their first `depth` elements.
    pub(super) fn after_depth(self, depth: usize) -> Self {
        Self {
            data: &self.data[depth * self.depth_stride..],
            ..self
        }
    }
}
