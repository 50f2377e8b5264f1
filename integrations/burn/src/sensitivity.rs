//! The sensitivity sweep over Burn's logits and gates: how far predictions move when the metadata are wrong.
//!
//! Measures, paths and kernels: [`gtca::sensitivity`].

use crate::guest::{Lent, readable, submit, writable};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchTensor, ExtensionType, backend_extension};
use burn::tensor::{DType, Device, Int, Tensor};
use burn_cubecl::CubeBackend;
use gtca::gpu::{Dtype, Gpu, Knob, Mode, View};
use gtca::sensitivity::{self as room, Probe, ProbeDesc, Sensitivity};

/// A sweep over perturbations, chunk by chunk; the sums of all chunks so far stay on the device. Nothing of it has a gradient.
///
/// ```no_run
/// use burn::tensor::{Device, Tensor};
/// use gtca::sensitivity::ProbeDesc;
/// use gtca_burn::sensitivity::{Samples, Sweep};
/// # fn f(gpu: &gtca::gpu::Gpu, device: &Device, base: Tensor<2>, moved: Tensor<3>) -> Result<(), gtca::Error> {
/// let desc = ProbeDesc { classes: 16, groups: 1, perturbations: 4 };
/// let mut sweep = Sweep::new(gpu, &desc, device)?;
/// sweep.external(base, moved, 0, &Samples::default());
/// let sensitivity = sweep.read()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Sweep {
    gpu: Gpu,
    desc: ProbeDesc,
    probe: Probe,
    sums: Tensor<1, Int>,
}

/// What is known of the samples beside their logits; i32 or u32 `[samples]`.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Classes; others than the probe has: unlabelled.
    pub labels: Option<Tensor<1, Int>>,
    /// Groups; without them all are in group 0.
    pub groups: Option<Tensor<1, Int>>,
}

/// The parts of logits of which only the gates differ between perturbations: the adapter sits in the last layer.
#[derive(Clone, Debug)]
pub struct Factored {
    /// Logits without the adapter (λ = 0), `[samples, classes]`.
    pub base: Tensor<2>,
    /// Pooled h = x·Aᵀ, `[samples, rank]`.
    pub hidden: Tensor<2>,
    /// B_t·W_headᵀ, `[rank, classes]`.
    pub map: Tensor<2>,
    /// Gates under the recorded metadata, `[samples, rank]` or `[samples, 1]`.
    pub true_gates: Tensor<2>,
    /// Gates of a chunk of perturbations, `[count, samples, rank]` or `[count, samples, 1]`.
    pub gates: Tensor<3>,
    /// λ, the adapter weight.
    pub lambda: f32,
    /// s = α/r or α/√r.
    pub scale: f32,
}

impl Sweep {
    /// Sums of zero. `gpu` is the wgpu device that `device` runs on.
    ///
    /// # Errors
    /// As [`Probe::new`].
    pub fn new(gpu: &Gpu, desc: &ProbeDesc, device: &Device) -> Result<Self, gtca::Error> {
        let probe = Probe::new(desc)?;
        let sums = Tensor::zeros([probe.sums_words() as usize], (&device.clone().inner(), DType::U32));
        Ok(Self { gpu: gpu.clone(), desc: *desc, probe, sums })
    }

    /// Adds a chunk of perturbations whose logits are given: `base` `[samples, classes]` under the recorded metadata,
    /// `variants` `[count, samples, classes]`, the first of them perturbation `first`.
    ///
    /// # Panics
    /// Wrong shapes or types; perturbations beyond the probe's; a device that is not `gpu`'s.
    pub fn external(&mut self, base: Tensor<2>, variants: Tensor<3>, first: u32, samples: &Samples) {
        let (rows, count) = (base.dims()[0], variants.dims()[0]);
        let chunk = self.chunk(base.dims(), first, count);
        assert_eq!(variants.dims(), [count, rows, base.dims()[1]], "variants are [count, samples, classes]");
        let (base, variants) = (base.inner().into_dispatch(), variants.inner().into_dispatch());
        let columns = samples.columns(rows);
        self.add(|sums| <Dispatch as Kernels>::sweep_external(base, variants, sums, columns, chunk));
    }

    /// Adds a chunk of perturbations whose gates are given, the first of them perturbation `first`.
    ///
    /// # Panics
    /// As [`Self::external`]; a λ or scale that is not finite.
    pub fn factored(&mut self, parts: Factored, first: u32, samples: &Samples) {
        let Factored { base, hidden, map, true_gates, gates, lambda, scale } = parts;
        let ([rows, classes], [_, rank], [count, _, width]) = (base.dims(), hidden.dims(), gates.dims());
        let chunk = Chunk { lambda, scale, ..self.chunk(base.dims(), first, count) };
        assert_eq!(hidden.dims(), [rows, rank], "hidden is [samples, rank]");
        assert_eq!(map.dims(), [rank, classes], "the map is [rank, classes]");
        assert!(width == 1 || width == rank, "gates are 1 or {rank} wide, not {width}");
        assert_eq!(gates.dims(), [count, rows, width], "gates are [count, samples, 1 or rank]");
        assert_eq!(true_gates.dims(), [rows, width], "true gates are [samples, 1 or rank]");
        assert!(
            lambda.is_finite() && scale.is_finite(),
            "lambda is {lambda}, scale {scale}; they must be finite"
        );
        let [base, hidden, map, true_gates] =
            [base, hidden, map, true_gates].map(|part| part.inner().into_dispatch());
        let parts = Parts { base, hidden, map, true_gates, gates: gates.inner().into_dispatch() };
        let columns = samples.columns(rows);
        self.add(|sums| <Dispatch as Kernels>::sweep_factored(parts, sums, columns, chunk));
    }

    /// Waits for the sums and derives the table from them.
    ///
    /// # Errors
    /// [`gtca::Error::Device`] with Burn's words, where it cannot read them.
    pub fn read(&self) -> Result<Sensitivity, gtca::Error> {
        let broken = |message: String| gtca::Error::Device { op: "sensitivity", message };
        let data = self.sums.clone().try_into_data().map_err(|error| broken(error.to_string()))?;
        let words: Vec<u32> = data.try_to_vec().map_err(|error| broken(format!("{error:?}")))?;
        Sensitivity::from_sums(self.desc, &words)
    }

    fn chunk(&self, [_, classes]: [usize; 2], first: u32, count: usize) -> Chunk {
        let ProbeDesc { classes: known, perturbations, .. } = self.desc;
        assert_eq!(classes, known as usize, "the probe's classes");
        let last = first as usize + count;
        assert!(last <= perturbations as usize, "perturbations {first}..{last} of {perturbations}");
        Chunk { gpu: self.gpu.clone(), probe: self.probe, first, lambda: 1.0, scale: 1.0 }
    }

    /// Gives the sums away, so that nobody else holds them and they are added to in place.
    fn add(&mut self, chunk: impl FnOnce(DispatchTensor) -> DispatchTensor) {
        let nothing = Tensor::empty([0], (&self.sums.device(), DType::U32));
        let sums = std::mem::replace(&mut self.sums, nothing);
        self.sums = Tensor::from_dispatch(chunk(sums.into_dispatch()));
    }
}

impl Samples {
    fn columns(&self, rows: usize) -> Columns<Dispatch> {
        let column = |name: &str, values: &Option<Tensor<1, Int>>| {
            let Some(values) = values else { return Column::Absent };
            assert_eq!(values.dims(), [rows], "{name} are [samples]");
            assert!([DType::I32, DType::U32].contains(&values.dtype()), "{name} are i32 or u32");
            Column::Present(values.clone().inner().into_dispatch())
        };
        Columns { labels: column("labels", &self.labels), groups: column("groups", &self.groups) }
    }
}

/// The numbers of one chunk, and where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    gpu: Gpu,
    probe: Probe,
    first: u32,
    lambda: f32,
    scale: f32,
}

#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) enum Column<B: Backend> {
    Absent,
    Present(IntTensor<B>),
}

#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Columns<B: Backend> {
    #[extension_type]
    labels: Column<B>,
    #[extension_type]
    groups: Column<B>,
}

#[derive(ExtensionType)]
#[extension_type(fusion)]
pub(crate) struct Parts<B: Backend> {
    base: FloatTensor<B>,
    hidden: FloatTensor<B>,
    map: FloatTensor<B>,
    true_gates: FloatTensor<B>,
    gates: FloatTensor<B>,
}

/// What runs on the device: sums in, sums out, in the same memory.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(meta = |_base, _variants, sums, _columns, _chunk| sums.clone())]
    fn sweep_external(
        base: FloatTensor<Self>,
        variants: FloatTensor<Self>,
        sums: IntTensor<Self>,
        #[extension_type] columns: Columns<Self>,
        chunk: Chunk,
    ) -> IntTensor<Self>;

    #[fusion(meta = |_parts, sums, _columns, _chunk| sums.clone())]
    fn sweep_factored(
        #[extension_type] parts: Parts<Self>,
        sums: IntTensor<Self>,
        #[extension_type] columns: Columns<Self>,
        chunk: Chunk,
    ) -> IntTensor<Self>;
}

impl Columns<CubeBackend> {
    /// Labels and groups on the device.
    fn lent(self) -> [Option<Lent>; 2] {
        [self.labels, self.groups].map(|column| match column {
            Column::Absent => None,
            Column::Present(tensor) => Some(Lent::of(&readable(tensor))),
        })
    }
}

/// `[n]` as n rows of one u32; a negative i32 is beyond every class and group.
fn rows(of: &Option<Lent>) -> Option<View<'_>> {
    let view = of.as_ref()?.view();
    Some(View::matrix(view.buffer, view.width(), 1).at(view.offset).of(Dtype::U32))
}

impl Kernels for CubeBackend {
    fn sweep_external(
        base: FloatTensor<Self>,
        variants: FloatTensor<Self>,
        sums: IntTensor<Self>,
        columns: Columns<Self>,
        chunk: Chunk,
    ) -> IntTensor<Self> {
        let ([base, variants], sums) = ([base, variants].map(readable), writable(sums));
        let (lent, columns) = ([&base, &variants, &sums].map(Lent::of), columns.lent());
        let ([base_view, variants, sums_view], [labels, groups]) =
            (lent.each_ref().map(Lent::view), columns.each_ref().map(rows));
        let args = room::External {
            base: base_view,
            variants,
            labels,
            groups,
            per_sample: None,
            first_perturbation: chunk.first,
            sums: sums_view,
            mode: Mode::Accumulate,
        };
        submit(&chunk.gpu, &base, |recorder| chunk.probe.external(recorder, &args));
        sums
    }

    fn sweep_factored(
        parts: Parts<Self>,
        sums: IntTensor<Self>,
        columns: Columns<Self>,
        chunk: Chunk,
    ) -> IntTensor<Self> {
        let Parts { base, hidden, map, true_gates, gates } = parts;
        let tensors = [base, hidden, map, true_gates, gates].map(readable);
        let sums = writable(sums);
        let (lent, of_sums, columns) = (tensors.each_ref().map(Lent::of), Lent::of(&sums), columns.lent());
        let [base, hidden, map, mut true_gates, gates] = lent.each_ref().map(Lent::view);
        let [samples, _, width] = true_gates.shape;
        // The room takes them as the gates of one perturbation.
        true_gates = View { shape: [1, samples, width], row_stride: true_gates.sample_stride, ..true_gates };
        let [labels, groups] = columns.each_ref().map(rows);
        let args = room::Factored {
            base,
            hidden,
            map,
            true_gates,
            gates,
            lambda: Knob::Host(chunk.lambda),
            scale: chunk.scale,
            labels,
            groups,
            per_sample: None,
            first_perturbation: chunk.first,
            sums: of_sums.view(),
            mode: Mode::Accumulate,
        };
        submit(&chunk.gpu, &tensors[0], |recorder| chunk.probe.factored(recorder, &args));
        sums
    }
}
