//! Metadata records to feature rows as a Burn op with gradients of what is learned, and as a module: `e = E(m)`.
//!
//! Formulas and kernels: [`gtca::encode`].

use crate::guest::{Lent, empty_like, readable, submit};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, Cube, Dispatch, TensorMetadata, backend_extension};
use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use gtca::encode::{self, Encoder, Plan};
use gtca::gpu::{Dtype, Gpu, Mode, View};
use gtca::records::{RECORD_WORDS, Records};
use std::sync::Arc;

/// A batch of records on the device: u32 `[RECORD_WORDS, samples]`.
///
/// ```no_run
/// use burn::tensor::Device;
/// use gtca::records::{Record, Records};
/// # fn f(device: &Device) -> Result<(), gtca::Error> {
/// let records = Records::from_records(&[Record::new().lat_deg(47.4).lon_deg(8.5).date(2024, 2, 29)])?;
/// let records = gtca_burn::encode::upload(&records, device);
/// # Ok(()) }
/// ```
pub fn upload(records: &Records, device: &Device) -> Tensor<2, Int> {
    let shape = [RECORD_WORDS as usize, records.len()];
    Tensor::from_data(TensorData::new(records.words().to_vec(), shape), (device, DType::U32))
}

/// The encoder of a plan, with its learned parameters.
///
/// ```no_run
/// use burn::tensor::{Device, Int, Tensor};
/// use gtca::encode::{IdTables, Plan};
/// use gtca_burn::encode::MetadataEncoder;
/// # fn f(gpu: &gtca::gpu::Gpu, device: &Device, records: Tensor<2, Int>) -> Result<(), gtca::Error> {
/// let encoder = MetadataEncoder::new(gpu, Plan::gtca(&IdTables::default())?, device)?;
/// let features = encoder.forward(records); // [samples, encoder.width()]
/// # Ok(()) }
/// ```
#[derive(Module, Debug)]
pub struct MetadataEncoder {
    /// Missing vectors, tables, scales and frequencies, as [`Plan::initial_arena`] lays them out; none where the plan learns
    /// nothing.
    pub arena: Option<Param<Tensor<1>>>,
    #[module(skip)]
    on: On,
}

/// The plan and the device it runs on.
#[derive(Clone, Debug)]
pub(crate) struct On {
    gpu: Gpu,
    encoder: Arc<Encoder>,
}

impl MetadataEncoder {
    /// Puts a plan on the device. `gpu` is the wgpu device that `device` runs on.
    ///
    /// # Errors
    /// A plan that needs more than records: of tokens, or with given columns.
    pub fn new(gpu: &Gpu, plan: Plan, device: &Device) -> Result<Self, gtca::Error> {
        let arena = plan.initial_arena();
        let arena =
            (!arena.is_empty()).then(|| Param::from_tensor(Tensor::from_floats(arena.as_slice(), device)));
        let on = On { gpu: gpu.clone(), encoder: Arc::new(Encoder::new(gpu, plan)) };
        on.check()?;
        Ok(Self { arena, on })
    }

    /// Features of a sample.
    pub fn width(&self) -> usize {
        self.on.width()
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.on.encoder.plan()
    }

    /// `[RECORD_WORDS, samples]`, as [`upload`] makes them, to `[samples, width]`.
    ///
    /// # Panics
    /// Records of another shape or type; a device that is not `gpu`'s.
    pub fn forward(&self, records: Tensor<2, Int>) -> Tensor<2> {
        assert_eq!(records.dims()[0], RECORD_WORDS as usize, "records are [RECORD_WORDS, samples]");
        assert_eq!(records.dtype(), DType::U32, "records are u32");
        // A plan without parameters reads none, but Burn finds the device by a float.
        let arena =
            self.arena.as_ref().map_or_else(|| Tensor::zeros([1], &records.device()), |arena| arena.val());
        let (arena, records) = (arena.into_dispatch(), records.into_dispatch());
        Tensor::from_dispatch(<Dispatch as Encode>::encode(arena, records, self.on.clone()))
    }
}

impl On {
    fn width(&self) -> usize {
        self.encoder.plan().width() as usize
    }

    /// Refuses what no batch could be encoded with, before there is one.
    fn check(&self) -> Result<(), gtca::Error> {
        let [arena_len, width] = [self.encoder.plan().arena_len(), self.encoder.plan().width()];
        let memory =
            [RECORD_WORDS, arena_len, width].map(|words| self.gpu.zeros("check", u64::from(words) * 4));
        let [records, arena, e] = &memory;
        let args = encode::Forward {
            records: View::matrix(records, RECORD_WORDS, 1).of(Dtype::U32),
            arena: View::vector(arena, arena_len),
            given: None,
            e: View::matrix(e, 1, width),
            status: None,
        };
        self.gpu.scratch_bytes(|recorder| self.encoder.forward(recorder, &args)).map(drop)
    }

    /// The parameters that the plan has, of the tensor that holds them.
    fn learned<'a>(&self, mut arena: View<'a>) -> View<'a> {
        arena.shape[2] = self.encoder.plan().arena_len();
        arena
    }
}

/// What runs on the device, forward and backward.
#[backend_extension(Cube, Fusion)]
pub(crate) trait Kernels: Backend {
    #[fusion(meta = |_arena, records, on| TensorSpec::new([records.shape[1], on.width()].into(), DType::F32))]
    fn encode_forward(arena: FloatTensor<Self>, records: IntTensor<Self>, on: On) -> FloatTensor<Self>;

    #[fusion(meta = |_de, arena, _records, _on| arena.clone())]
    fn encode_backward(
        de: FloatTensor<Self>,
        arena: FloatTensor<Self>,
        records: IntTensor<Self>,
        on: On,
    ) -> FloatTensor<Self>;
}

impl Kernels for CubeBackend {
    fn encode_forward(arena: FloatTensor<Self>, records: IntTensor<Self>, on: On) -> FloatTensor<Self> {
        let [arena, records] = [arena, records].map(readable);
        let e = empty_like(&arena, [records.shape()[1], on.width()], DType::F32);
        let lent = [&arena, &records, &e].map(Lent::of);
        let [arena_view, records, e_view] = lent.each_ref().map(Lent::view);
        let args =
            encode::Forward { records, arena: on.learned(arena_view), given: None, e: e_view, status: None };
        submit(&on.gpu, &arena, |recorder| on.encoder.forward(recorder, &args));
        e
    }

    fn encode_backward(
        de: FloatTensor<Self>,
        arena: FloatTensor<Self>,
        records: IntTensor<Self>,
        on: On,
    ) -> FloatTensor<Self> {
        let [de, arena, records] = [de, arena, records].map(readable);
        let darena = empty_like(&arena, arena.shape(), DType::F32);
        let lent = [&de, &arena, &records, &darena].map(Lent::of);
        let [de_view, arena_view, records, darena_view] = lent.each_ref().map(Lent::view);
        let (mode, given) = (Mode::Overwrite, None);
        let args =
            encode::Backward { records, arena: arena_view, given, de: de_view, darena: darena_view, mode };
        submit(&on.gpu, &arena, |recorder| on.encoder.backward(recorder, &args));
        darena
    }
}

/// The op with its gradient.
#[backend_extension(Cube, Autodiff)]
pub(crate) trait Encode: Backend {
    fn encode(arena: FloatTensor<Self>, records: IntTensor<Self>, on: On) -> FloatTensor<Self>;
}

impl Encode for Cube {
    fn encode(arena: FloatTensor<Self>, records: IntTensor<Self>, on: On) -> FloatTensor<Self> {
        Self::encode_forward(arena, records, on)
    }
}

impl<B: Kernels, C: CheckpointStrategy> Encode for Autodiff<B, C> {
    fn encode(arena: FloatTensor<Self>, records: IntTensor<Self>, on: On) -> FloatTensor<Self> {
        let (arena, node) = arena.into_parts();
        match EncodeBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let e = B::encode_forward(arena.clone(), records.clone(), on.clone());
                prep.finish((arena, records, on), e)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::encode_forward(arena, records, on)),
        }
    }
}

#[derive(Debug)]
struct EncodeBackward;

impl<B: Kernels> Backward<B, 1> for EncodeBackward {
    type State = (FloatTensor<B>, IntTensor<B>, On);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let de = grads.consume::<B>(&ops.node);
        let ([arena], (values, records, on)) = (ops.parents, ops.state);
        if let Some(node) = arena {
            grads.register::<B>(node.id, B::encode_backward(de, values, records, on));
        }
    }
}
