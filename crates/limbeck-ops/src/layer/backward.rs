//! The backward pass of a whole layer.

use candle_core::Result;

use super::{Layer, Queries, Saved, Sizes};
use crate::access::with_parameters;
use crate::attention_maps::Tap;
use crate::buffer::Buffer;
use crate::kernels::attention::{self, Gradients};
use crate::kernels::gemm::{Write, both, matmul_nn};
use crate::kernels::norm;
use crate::kernels::reduce::add;
use crate::linear::{add_bias_gradient, add_weight_gradient};
use crate::parameter::Parameter;
use crate::pass::learns;

impl Layer {
    pub(super) fn backward(
        &self,
        x: &[f32],
        y_gradient: &[f32],
        saved: &Saved,
    ) -> Result<Vec<f32>> {
        let learning = learns(self.learning);
        let Sizes {
            tokens,
            rows,
            hidden,
            inner,
        } = self.sizes();
        let p = &self.parameters;
        let mut gradient = Buffer::take(rows * hidden);
        gradient.copy_from_slice(y_gradient);

        // Feed-forward block.
        Self::norm_backward(
            &mut gradient,
            (&saved.normalised, &saved.deviation),
            (&p.norm_scale, &p.norm_shift),
            learning,
        )?;
        let mut middle = Buffer::take(rows * hidden);
        middle.copy_from_slice(&gradient);
        self.dropout(self.spec.hidden_dropout, 2)
            .apply_all(&mut gradient, hidden);
        let mut wide = Buffer::take(rows * inner);
        Self::linear_backward(
            Some(&mut wide),
            &gradient,
            &saved.activated,
            (&p.down_weight, &p.down_bias),
            Write::Replace,
            learning,
        )?;
        self.spec
            .activation
            .backward(&mut wide, &saved.inner, inner);
        Self::linear_backward(
            Some(&mut middle),
            &wide,
            &saved.middle,
            (&p.up_weight, &p.up_bias),
            Write::Add,
            learning,
        )?;

        // Attention block.
        let mut gradient = middle;
        Self::norm_backward(
            &mut gradient,
            (&saved.attention_normalised, &saved.attention_deviation),
            (&p.attention_norm_scale, &p.attention_norm_shift),
            learning,
        )?;
        let mut dropped = Buffer::take(rows * hidden);
        dropped.copy_from_slice(&gradient);
        self.dropout(self.spec.attention_output_dropout, 1)
            .apply_all(&mut dropped, hidden);
        let mut context = Buffer::take(rows * hidden);
        Self::linear_backward(
            Some(&mut context),
            &dropped,
            &saved.context,
            (&p.output_weight, &p.output_bias),
            Write::Replace,
            learning,
        )?;
        let qkv = self.attention_backward(&context, saved, learning);
        let mut x_gradient = vec![0.0; tokens * hidden];
        match self.queries {
            Queries::All => {
                x_gradient.copy_from_slice(&gradient);
                Self::linear_backward(
                    Some(&mut x_gradient),
                    &qkv,
                    x,
                    (&p.qkv_weight, &p.qkv_bias),
                    Write::Add,
                    learning,
                )?;
            }
            Queries::First => {
                self.single_query_backward(&mut x_gradient, &mut gradient, &qkv, x, learning)?;
            }
        }
        Ok(x_gradient)
    }

    /// `gradient` with respect to a norm's output becomes that with respect to its input.
    fn norm_backward(
        gradient: &mut [f32],
        (normalised, deviation): (&[f32], &[f32]),
        (scale, shift): (&Parameter, &Parameter),
        learning: bool,
    ) -> Result<()> {
        crate::layer_norm::add_norm_gradients((scale, shift), gradient, normalised, learning);
        with_parameters([scale], |[scale]| {
            norm::backward(gradient, normalised, deviation, scale);
            Ok(())
        })
    }

    /// Gradients of a linear layer: of its weights when learning, of its input when asked.
    fn linear_backward(
        x_gradient: Option<&mut [f32]>,
        gradient: &[f32],
        x: &[f32],
        (weight, bias): (&Parameter, &Parameter),
        write: Write,
        learning: bool,
    ) -> Result<()> {
        let dims = weight.shape().dims();
        let (outputs, inputs) = (dims[0], dims[1]);
        let rows = gradient.len() / outputs;
        with_parameters([weight], |[values]| {
            let inputs_gradient = || {
                if let Some(x_gradient) = x_gradient {
                    matmul_nn(x_gradient, gradient, values, (rows, inputs, outputs), write);
                }
            };
            let weights_gradient = || {
                add_weight_gradient(weight, gradient, x, (rows, outputs, inputs));
                add_bias_gradient(bias, gradient);
            };
            if learning {
                both(inputs_gradient, weights_gradient);
            } else {
                inputs_gradient();
            }
            Ok(())
        })
    }

    fn attention_backward(&self, context: &[f32], saved: &Saved, learning: bool) -> Buffer {
        let Sizes { rows, hidden, .. } = self.sizes();
        let mut qkv = Buffer::take(saved.qkv.len());
        let gradients = match self.queries {
            Queries::All => Gradients {
                query: (&mut qkv, 3 * hidden, 0),
                key_value: None,
                key_offset: hidden,
                value_offset: 2 * hidden,
            },
            Queries::First => {
                let (query, key_value) = qkv.split_at_mut(rows * hidden);
                Gradients {
                    query: (query, hidden, 0),
                    key_value: Some((key_value, 2 * hidden)),
                    key_offset: 0,
                    value_offset: hidden,
                }
            }
        };
        let longest = self.starts.longest();
        let mut bias = self
            .spec
            .relative_bias
            .as_ref()
            .map(|_| Buffer::zeroed(self.spec.heads * (2 * longest - 1)));
        let score_gradient = self.tap.as_ref().and_then(Tap::take_gradient);
        attention::backward(
            gradients,
            (context, score_gradient.as_deref()),
            &saved.probabilities,
            self.inputs(&saved.qkv),
            self.shape(),
            bias.as_mut().map(|bias| (&mut **bias, longest)),
            &self.dropout(self.spec.attention_dropout, 0),
        );
        if let (Some(bias), Some(values), true) = (&self.spec.relative_bias, &bias, learning) {
            bias.add_gradient(values, longest);
        }
        qkv
    }

    /// The projections' backward pass when only first tokens have queries.
    fn single_query_backward(
        &self,
        x_gradient: &mut [f32],
        first_gradient: &mut [f32],
        qkv: &[f32],
        x: &[f32],
        learning: bool,
    ) -> Result<()> {
        let Sizes {
            tokens,
            rows,
            hidden,
            ..
        } = self.sizes();
        let (query, key_value) = qkv.split_at(rows * hidden);
        with_parameters([&self.parameters.qkv_weight], |[weight]| {
            let (query_weight, kv_weight) = weight.split_at(hidden * hidden);
            matmul_nn(
                x_gradient,
                key_value,
                kv_weight,
                (tokens, hidden, 2 * hidden),
                Write::Replace,
            );
            matmul_nn(
                first_gradient,
                query,
                query_weight,
                (rows, hidden, hidden),
                Write::Add,
            );
            Ok(())
        })?;
        for (gradient, &row) in first_gradient
            .chunks_exact(hidden)
            .zip(self.starts.first_rows())
        {
            add(&mut x_gradient[row as usize * hidden..][..hidden], gradient);
        }
        if learning {
            let first = self.first_rows(x);
            crate::linear::add_split_gradients(
                (&self.parameters.qkv_weight, &self.parameters.qkv_bias),
                (query, &first, rows),
                (key_value, x, tokens),
                hidden,
            );
        }
        Ok(())
    }
}
