//! Linear maps, forward and backward: `y = act(x Wᵀ + b)`.
//!
//! | formula | shader | twin |
//! |---|---|---|
//! | `y[i, n] = Σ_k x[i, k] W[n, k] + b[n]` | `shaders/linear/rows.wgsl` | [`twin::rows`] |
//! | `dx[i, k] = Σ_n dy[i, n] W[n, k]` | `shaders/linear/rows.wgsl`, W read through swapped strides | [`twin::rows`] |
//! | `dW[n, k] = Σ_i dy[i, n] x[i, k]` | `shaders/linear/outer.wgsl`, then `reduce/sum_chunks.wgsl` | [`twin::outer`] |
//! | `db[n] = Σ_i dy[i, n]` | `shaders/reduce/column_sum.wgsl`, then `reduce/sum_chunks.wgsl` | [`column_sum`](crate::common::reduce::column_sum) |
//! | `SiLU(x) = x σ(x)` | `shaders/linear/silu.wgsl` | [`twin::silu`] |
//!
//! Tests: `tests/gpu/linear.rs`.

mod gpu;
pub mod twin;

pub(crate) use gpu::KERNELS;

use crate::Error;
use crate::gpu::{Access, Dtype, Mode, Recorder, View, check_overlap};

const OP: &str = "linear";
/// One loop of a kernel runs over the inputs or the outputs.
const MAX_WIDTH: u32 = 59_999;

/// What follows the linear map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// SiLU, x·σ(x).
    Silu,
}

/// A linear map's shape.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinearDesc {
    /// Width of x; 1 to 59,999.
    pub inputs: u32,
    /// Width of y; 1 to 59,999.
    pub outputs: u32,
    /// What follows.
    pub activation: Activation,
}

/// A checked linear map.
///
/// ```
/// use gtca::linear::{Linear, LinearDesc};
/// assert!(Linear::new(&LinearDesc { inputs: 768, outputs: 16, ..Default::default() }).is_ok());
/// assert!(Linear::new(&LinearDesc { inputs: 0, outputs: 16, ..Default::default() }).is_err());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    desc: LinearDesc,
}

/// Arguments of [`Linear::forward`].
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// `[rows, inputs]`.
    pub x: View<'a>,
    /// `[outputs, inputs]`.
    pub weight: View<'a>,
    /// `[outputs]`, or none.
    pub bias: Option<View<'a>>,
    /// Written: the linear map before the activation, `[rows, outputs]`; the backward needs it.
    /// Required with an activation, else absent.
    pub pre: Option<View<'a>>,
    /// Written: `[rows, outputs]`.
    pub y: View<'a>,
}

/// Arguments of [`Linear::backward`]; gradients that are absent are not computed.
#[derive(Clone, Copy, Debug)]
pub struct Backward<'a> {
    /// `[rows, inputs]`, as in the forward.
    pub x: View<'a>,
    /// `[outputs, inputs]`.
    pub weight: View<'a>,
    /// What the forward wrote; required with an activation, else absent.
    pub pre: Option<View<'a>>,
    /// Gradient of y, `[rows, outputs]`.
    pub dy: View<'a>,
    /// Written: gradient of x, `[rows, inputs]`.
    pub dx: Option<View<'a>>,
    /// Written: gradient of the weight, `[outputs, inputs]`.
    pub dweight: Option<View<'a>>,
    /// Written: gradient of the bias, `[outputs]`.
    pub dbias: Option<View<'a>>,
    /// Whether `dx` is replaced or added to.
    pub dx_mode: Mode,
    /// Whether `dweight` and `dbias` are replaced or added to.
    pub parameter_mode: Mode,
}

impl<'a> Backward<'a> {
    /// Without an activation, and with no gradient asked for yet; what is asked for then is replaced, not added to.
    ///
    /// ```no_run
    /// # use gtca::{gpu::{Recorder, View}, linear::{Backward, Linear}};
    /// # fn f(
    /// #     map: &Linear, to: &mut Recorder<'_>, x: View<'_>, weight: View<'_>, dy: View<'_>, dx: View<'_>,
    /// # ) -> Result<(), gtca::Error> {
    /// map.backward(to, &Backward { dx: Some(dx), ..Backward::new(x, weight, dy) })
    /// # }
    /// ```
    pub fn new(x: View<'a>, weight: View<'a>, dy: View<'a>) -> Self {
        Self {
            x,
            weight,
            pre: None,
            dy,
            dx: None,
            dweight: None,
            dbias: None,
            dx_mode: Mode::Overwrite,
            parameter_mode: Mode::Overwrite,
        }
    }
}

impl Linear {
    /// Checks the shape.
    ///
    /// # Errors
    /// A width outside 1..=59,999.
    pub fn new(desc: &LinearDesc) -> Result<Self, Error> {
        for (name, width) in [("inputs", desc.inputs), ("outputs", desc.outputs)] {
            if !(1..=MAX_WIDTH).contains(&width) {
                let rule = format!("widths run from 1 to {MAX_WIDTH}");
                return Err(Error::argument(OP, name, width, rule, "split the map"));
            }
        }
        Ok(Self { desc: *desc })
    }

    /// Records `y = act(x Wᵀ + b)`. Rows are independent: a row alone gives the same bits.
    ///
    /// # Errors
    /// Wrong shapes, types or ranges; overlapping outputs; a missing or superfluous `pre`.
    pub fn forward(&self, recorder: &mut Recorder<'_>, args: &Forward<'_>) -> Result<(), Error> {
        let LinearDesc { inputs, outputs, activation } = self.desc;
        let rows = args.x.rows();
        args.x.check_rows(OP, "x", Dtype::F32, rows, inputs)?;
        args.weight.check_matrix(OP, "weight", Dtype::F32, outputs.into(), inputs)?;
        args.y.check_rows(OP, "y", Dtype::F32, rows, outputs)?;
        let mut used = vec![
            ("x", args.x, Access::Read),
            ("weight", args.weight, Access::Read),
            ("y", args.y, Access::Write),
        ];
        if let Some(bias) = args.bias {
            bias.check_rows(OP, "bias", Dtype::F32, 1, outputs)?;
            used.push(("bias", bias, Access::Read));
        }
        self.check_pre(args.pre.as_ref(), rows)?;
        used.extend(args.pre.map(|pre| ("pre", pre, Access::Write)));
        check_overlap(OP, &used)?;
        let linear = args.pre.unwrap_or(args.y);
        gpu::rows(
            recorder,
            &args.x,
            &args.weight,
            gpu::Side::Forward,
            args.bias.as_ref(),
            &linear,
            Mode::Overwrite,
        )?;
        match activation {
            Activation::None => Ok(()),
            Activation::Silu => gpu::silu(recorder, &linear, None, &args.y),
        }
    }

    /// Records the gradients that are asked for. Sums over rows run in chunks of 256 from row 0, in order.
    ///
    /// # Errors
    /// As [`Linear::forward`].
    pub fn backward(&self, recorder: &mut Recorder<'_>, args: &Backward<'_>) -> Result<(), Error> {
        self.check_backward(args)?;
        let scratch;
        let mut dy = args.dy;
        if let Some(pre) = &args.pre {
            let rows = dy.rows() as u32;
            scratch = recorder.scratch(OP, dy.rows() * u64::from(dy.width()) * 4)?;
            let dpre = scratch.matrix(rows, dy.width());
            gpu::silu(recorder, pre, Some(&dy), &dpre)?;
            dy = dpre;
        }
        if let Some(dx) = &args.dx {
            gpu::rows(recorder, &dy, &args.weight, gpu::Side::Backward, None, dx, args.dx_mode)?;
        }
        if let Some(dweight) = &args.dweight {
            gpu::outer(recorder, &dy, &args.x, dweight, args.parameter_mode)?;
        }
        if let Some(dbias) = &args.dbias {
            crate::gpu::reduce::column_sum(recorder, OP, &dy, dbias, args.parameter_mode)?;
        }
        Ok(())
    }

    fn check_backward(&self, args: &Backward<'_>) -> Result<(), Error> {
        let LinearDesc { inputs, outputs, .. } = self.desc;
        let rows = args.x.rows();
        args.x.check_rows(OP, "x", Dtype::F32, rows, inputs)?;
        args.weight.check_matrix(OP, "weight", Dtype::F32, outputs.into(), inputs)?;
        args.dy.check_rows(OP, "dy", Dtype::F32, rows, outputs)?;
        self.check_pre(args.pre.as_ref(), rows)?;
        let mut used = vec![
            ("x", args.x, Access::Read),
            ("weight", args.weight, Access::Read),
            ("dy", args.dy, Access::Read),
        ];
        used.extend(args.pre.map(|pre| ("pre", pre, Access::Read)));
        let written = [
            ("dx", args.dx, rows, inputs),
            ("dweight", args.dweight, outputs.into(), inputs),
            ("dbias", args.dbias, 1, outputs),
        ];
        for (name, view, rows, width) in written {
            if let Some(view) = view {
                view.check_rows(OP, name, Dtype::F32, rows, width)?;
                used.push((name, view, Access::Write));
            }
        }
        check_overlap(OP, &used)
    }

    fn check_pre(&self, pre: Option<&View<'_>>, rows: u64) -> Result<(), Error> {
        match (self.desc.activation, pre) {
            (Activation::None, None) => Ok(()),
            (Activation::None, Some(_)) => {
                Err(Error::argument(OP, "pre", "given", "there is no activation", "leave it out"))
            }
            (_, Some(pre)) => pre.check_rows(OP, "pre", Dtype::F32, rows, self.desc.outputs),
            (_, None) => {
                Err(Error::argument(OP, "pre", "absent", "the activation's backward needs it", "give a view"))
            }
        }
    }
}
