//! Many adapters as ranges of a few buffers.

use super::gpu::Target;
use super::maps::{Maps, Side};
use super::step::{Gradient, Matrices, Step, recorded};
use super::{Dropout, Family, Gate, Lora, LoraDesc, OP, Routing, RowSample, Scaling, Used, class};
use crate::Error;
use crate::gpu::view::Bound;
use crate::gpu::{Access, Dtype, Gpu, Knob, Mode, Recorder, View, check_overlap};
use std::ops::Range;

/// Arenas of a bank.
const MAX_ARENAS: usize = 1 << 16;

/// Where a matrix of an adapter lies: contiguous from an element of an arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Index among the arenas, of which there are at most 65,536.
    pub arena: usize,
    /// Its first element.
    pub start: u32,
}

/// One adapter of a bank.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// r; 1 to 256.
    pub rank: u32,
    /// α; finite.
    pub alpha: f32,
    /// A, `[rank, inputs]`.
    pub a: Place,
    /// B transposed, `[rank, outputs]`.
    pub b_t: Place,
}

impl Member {
    /// Members that follow each other, A and then b_t, in arenas of at most `arena_elements` f32. Every matrix starts at a
    /// multiple of four elements, so that kernels may take whole vectors where ranks and widths are such.
    ///
    /// ```
    /// use gtca::lora::Member;
    /// // Rank and α of each.
    /// let members = Member::pack(768, 768, &[(8, 8.0), (16, 16.0), (4, 4.0)], 40_000);
    /// assert_eq!((members[1].a.arena, members[1].a.start), (0, 12_288));
    /// assert_eq!((members[2].b_t.arena, members[2].b_t.start), (1, 3_072));
    /// ```
    pub fn pack(inputs: u32, outputs: u32, adapters: &[(u32, f32)], arena_elements: u32) -> Vec<Self> {
        let (mut arena, mut next) = (0, 0u64);
        let place = |&(rank, alpha): &(u32, f32)| {
            let [a, b] =
                [inputs, outputs].map(|width| (u64::from(rank) * u64::from(width)).next_multiple_of(4));
            if next > 0 && next + a + b > u64::from(arena_elements) {
                (arena, next) = (arena + 1, 0);
            }
            let [a, b_t] = [next, next + a].map(|start| Place { arena, start: start as u32 });
            next = u64::from(b_t.start) + b;
            Self { rank, alpha, a, b_t }
        };
        adapters.iter().map(place).collect()
    }

    fn place(&self, side: Side) -> Place {
        if side == Side::A { self.a } else { self.b_t }
    }
}

/// Adapters of one layer, their ids being their order.
#[derive(Clone, Copy, Debug, Default)]
pub struct BankDesc<'a> {
    /// Width of x; 1 to 59,999.
    pub inputs: u32,
    /// Width of y; 1 to 59,999.
    pub outputs: u32,
    /// The adapters; ranks may differ.
    pub members: &'a [Member],
    /// How α becomes s.
    pub scaling: Scaling,
    /// The structure of the kernels; without it [`Family::of`] the device.
    pub family: Option<Family>,
}

/// Checked adapters of one layer: where they lie, not the numbers, which stay in the embedder's arenas.
///
/// ```no_run
/// # use gtca::{gpu::*, lora::*};
/// # fn f(gpu: &Gpu, recorder: &mut Recorder<'_>, x: View<'_>, arena: View<'_>, y: View<'_>) -> Result<(), gtca::Error> {
/// let members = Member::pack(768, 768, &[(8, 8.0), (16, 16.0)], 1 << 25);
/// let bank = Bank::new(gpu, &BankDesc { inputs: 768, outputs: 768, members: &members, ..Default::default() })?;
/// // Four samples of 196 tokens: adapters 1, 0, none, 1.
/// let routing = bank.route(gpu, &[1, 0, -1, 1], RowSample::Uniform(196))?;
/// bank.forward(recorder, &BankForward {
///     x, arenas: &[arena], bias: None, routing: &routing, gate: Gate::None, lambda: Knob::Host(1.0), dropout: None,
///     y, h: None,
/// })?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Bank {
    shape: LoraDesc,
    members: Vec<Member>,
    /// Rank, bits of s and both starts of every adapter; the last is of none.
    buffer: wgpu::Buffer,
    /// All matrices may be loaded four elements at a time.
    pub(super) vectors: bool,
    /// Elements that each arena must have.
    lengths: Vec<u64>,
    /// Two members that share elements.
    shared: Option<[usize; 2]>,
    /// The members' biases as maps of rank 1 with the same s: b_t is the member's row of the biases.
    of_bias: Option<Box<Self>>,
}

/// Arguments of [`Bank::forward`].
#[derive(Clone, Copy, Debug)]
pub struct BankForward<'a> {
    /// Rows of width inputs in f32, f16 or bf16: `[samples, tokens, inputs]`, or ragged samples as `[1, rows, inputs]`.
    pub x: View<'a>,
    /// The adapters' numbers, `[1, 1, elements]` each, all in f32, f16 or bf16.
    pub arenas: &'a [View<'a>],
    /// The adapters' biases, `[members, 1, outputs]` in the arenas' type; f32 without gaps.
    pub bias: Option<View<'a>>,
    /// Which rows have which adapter.
    pub routing: &'a Routing,
    /// Gates, as wide as the largest rank; per sample as `[samples, 1, rank]`, or else per token in x's shape.
    pub gate: Gate<'a>,
    /// λ, the adapter weight.
    pub lambda: Knob<'a>,
    /// Of x, in training; rows count as they lie in x, whatever their adapter.
    pub dropout: Option<Dropout>,
    /// Added to in place, a bank writes nowhere else; rows as x's and of its type; a row without an adapter keeps its bits.
    pub y: View<'a>,
    /// Written: `h = x Aᵀ`, rows as x's, as wide as the largest rank; 0 beyond an adapter's rank and in rows without one.
    pub h: Option<View<'a>>,
}

/// Arguments of [`Bank::backward`]; gradients that are absent are not computed.
#[derive(Clone, Copy, Debug)]
pub struct BankBackward<'a> {
    /// As in the forward.
    pub x: View<'a>,
    /// Gradient of y.
    pub dy: View<'a>,
    /// As in the forward.
    pub arenas: &'a [View<'a>],
    /// As in the forward; dλ needs it.
    pub bias: Option<View<'a>>,
    /// As in the forward.
    pub routing: &'a Routing,
    /// As in the forward.
    pub gate: Gate<'a>,
    /// As in the forward.
    pub lambda: Knob<'a>,
    /// As in the forward.
    pub dropout: Option<Dropout>,
    /// What the forward wrote; computed again where it is absent and needed.
    pub h: Option<View<'a>>,
    /// Written: `u = dy B`, as h. Without it the recorder has scratch of that size.
    pub u: Option<View<'a>>,
    /// Written: gradient of x; 0 in rows without an adapter.
    pub dx: Option<View<'a>>,
    /// Written: gradients of the adapters that have rows, f32, laid out as the arenas; the others keep their bits.
    pub gradients: Option<&'a [View<'a>]>,
    /// Written: gradients of the biases of the adapters that have rows, f32 `[members, 1, outputs]` without gaps; the others
    /// keep their bits. Absent without a bias.
    pub dbias: Option<View<'a>>,
    /// Written: gradient of the gates, of their shape; absent without gates.
    pub dgate: Option<View<'a>>,
    /// Written: gradient of λ, one f32.
    pub dlambda: Option<View<'a>>,
    /// Whether `dx` is replaced or added to.
    pub dx_mode: Mode,
    /// Whether `gradients` and `dbias` are replaced or added to.
    pub parameter_mode: Mode,
    /// Whether `dgate` and `dlambda` are replaced or added to.
    pub condition_mode: Mode,
}

impl<'a> BankBackward<'a> {
    /// What it shares with the forward; y is dy.
    fn forward(&self) -> BankForward<'a> {
        let Self { x, dy, arenas, bias, routing, gate, lambda, dropout, h, .. } = *self;
        BankForward { x, arenas, bias, routing, gate, lambda, dropout, y: dy, h }
    }
}

/// Neighbouring segments whose matrices one binding holds, of one class of ranks.
pub(super) struct Run {
    pub segments: Range<usize>,
    pub rank: u32,
    pub arena: usize,
    elements: Range<u64>,
}

impl Run {
    /// The part of an arena that holds the matrices.
    pub(super) fn window<'a>(&self, arena: &View<'a>) -> View<'a> {
        let elements = self.elements.end - self.elements.start;
        let offset = arena.offset + self.elements.start * arena.dtype.bytes();
        View { shape: [1, 1, elements as u32], offset, ..*arena }
    }

    /// From an element of the arena to one of the window's binding, modulo 2³².
    pub(super) fn shift(&self, window: &Bound<'_>) -> u32 {
        window.rows.start.wrapping_sub(self.elements.start as u32)
    }
}

impl Bank {
    /// Checks the adapters and uploads their table.
    ///
    /// # Errors
    /// No member; widths, ranks or α that [`Lora::new`] refuses; a matrix that does not fit one binding of the device.
    pub fn new(gpu: &Gpu, desc: &BankDesc<'_>) -> Result<Self, Error> {
        let BankDesc { inputs, outputs, members, scaling, family } = *desc;
        if members.is_empty() {
            return Err(Error::argument(OP, "members", "empty", "a bank has adapters", "give at least one"));
        }
        let mut words = Vec::with_capacity(members.len() * 4 + 4);
        let mut lengths: Vec<u64> = Vec::new();
        for (id, member) in members.iter().enumerate() {
            let shape = LoraDesc { inputs, outputs, rank: member.rank, alpha: member.alpha, scaling, family };
            let lora = Lora::new(&shape).map_err(|error| of_member(error, id))?;
            words.extend([member.rank, lora.scale().to_bits(), member.a.start, member.b_t.start]);
            for (argument, place, width) in [("a", member.a, inputs), ("b_t", member.b_t, outputs)] {
                let elements = u64::from(member.rank) * u64::from(width);
                if elements * 4 > gpu.largest_view() {
                    let rule = format!("a matrix must fit one binding of {} bytes", gpu.largest_view());
                    let value = format!("{} bytes of adapter {id}", elements * 4);
                    return Err(Error::argument(OP, argument, value, rule, "choose a smaller rank"));
                }
                if place.arena >= MAX_ARENAS {
                    let rule = format!("arenas are numbered from 0, at most {MAX_ARENAS} of them");
                    let value = format!("in arena {} of adapter {id}", place.arena);
                    return Err(Error::argument(OP, argument, value, rule, "number them by their order"));
                }
                if place.arena >= lengths.len() {
                    lengths.resize(place.arena + 1, 0);
                }
                lengths[place.arena] = lengths[place.arena].max(u64::from(place.start) + elements);
            }
        }
        let of_bias = of_bias(gpu, &words, desc);
        words.extend([0; 4]);
        let rank = members.iter().map(|member| member.rank).max().unwrap_or(1);
        let is_four = |member: &Member| {
            [member.rank, member.a.start, member.b_t.start].iter().all(|n| n.is_multiple_of(4))
        };
        Ok(Self {
            shape: LoraDesc { inputs, outputs, rank, alpha: 1.0, scaling, family },
            buffer: gpu.upload("lora bank", &words),
            vectors: members.iter().all(is_four),
            shared: shared(members, inputs, outputs),
            members: members.to_vec(),
            lengths,
            of_bias: Some(Box::new(of_bias)),
        })
    }

    pub(super) fn of_bias(&self) -> Option<&Self> {
        self.of_bias.as_deref()
    }

    /// Rows of one 1, of a bank of biases, whose table ends with it.
    pub(super) fn ones(&self, [samples, tokens]: [u32; 2]) -> View<'_> {
        let bytes = (self.members.len() as u64 + 1) * 16;
        View::tokens(&self.buffer, [samples, tokens, 1]).at(bytes).strided(0, 0)
    }

    /// The largest rank: the width of h, u and gates.
    pub fn rank(&self) -> u32 {
        self.shape.rank
    }

    /// As [`Lora::variant`].
    ///
    /// # Errors
    /// The descriptor's cannot run there.
    pub fn variant(&self, gpu: &Gpu) -> Result<Family, Error> {
        Lora { desc: self.shape }.variant(gpu)
    }

    /// The adapters.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Sorts the rows of a batch by adapter. `adapters` has each sample's adapter, −1 for none. The result serves any
    /// bank with as many members; with those of the same ranks in as few dispatches.
    ///
    /// # Errors
    /// An id that is neither −1 nor a member's; starts that are not S + 1, do not begin with 0 or decrease.
    pub fn route(&self, gpu: &Gpu, adapters: &[i32], rows: RowSample<'_>) -> Result<Routing, Error> {
        let ranks: Vec<u32> = self.members.iter().map(|member| member.rank).collect();
        Routing::new(gpu, adapters, rows, &ranks)
    }

    /// Records `y += λ·s·(((x̃ Aᵀ) ⊙ g) Bᵀ + bias)`, each row with its adapter's A, B, bias and s. A row's result is that of
    /// [`Lora::forward`] with its adapter alone, bit for bit.
    ///
    /// # Errors
    /// As [`Lora::forward`]; a routing for other rows or another number of adapters; arenas that are too short or of several
    /// types; biases with gaps; rows, gates or biases that do not fit one binding.
    pub fn forward(&self, recorder: &mut Recorder<'_>, args: &BankForward<'_>) -> Result<(), Error> {
        let used = self.check_forward(recorder.gpu(), args)?;
        let step = self.step(recorder.gpu(), args)?;
        recorded(recorder, &used, step.hidden_bytes(), |recorder| {
            step.forward(recorder, Target::new(args.y, Mode::Accumulate))
        })
    }

    /// Records the gradients that are asked for, as [`Lora::backward`]: dA, dBᵀ and dbias over each adapter's rows, in chunks
    /// that count from the first of them. dx, dA and dBᵀ have the bits of the adapter alone; dbias and dλ are
    /// summed in another order than there.
    ///
    /// # Errors
    /// As [`Bank::forward`]; a `dgate` without gates; a `dbias` without a bias; `gradients` where two members share elements.
    pub fn backward(&self, recorder: &mut Recorder<'_>, args: &BankBackward<'_>) -> Result<(), Error> {
        let used = self.check_backward(recorder.gpu(), args)?;
        let step = self.step(recorder.gpu(), &args.forward())?;
        let gradient = Gradient {
            dy: args.dy,
            u: args.u,
            dx: args.dx,
            da: args.gradients.map(Matrices::Many),
            db_t: args.gradients.map(Matrices::Many),
            dbias: args.dbias,
            dgate: args.dgate,
            dlambda: args.dlambda,
            dx_mode: args.dx_mode,
            parameter_mode: args.parameter_mode,
            condition_mode: args.condition_mode,
        };
        recorded(recorder, &used, step.hidden_bytes(), |recorder| step.backward(recorder, &gradient))
    }

    pub(super) fn step<'a>(&'a self, gpu: &Gpu, args: &BankForward<'a>) -> Result<Step<'a>, Error> {
        Ok(Step {
            family: self.variant(gpu)?,
            rank: self.shape.rank,
            maps: Maps::Many { bank: self, routing: args.routing, arenas: args.arenas, widened: None },
            bias: args.bias,
            // At 0 nothing is drawn.
            dropout: args.dropout.filter(|dropout| dropout.probability > 0.0),
            x: args.x,
            gate: args.gate,
            lambda: args.lambda,
            h: args.h,
        })
    }

    pub(super) fn bound(&self) -> Bound<'_> {
        Bound::whole(&self.buffer)
    }

    pub(super) fn width(&self, side: Side) -> u32 {
        if side == Side::A { self.shape.inputs } else { self.shape.outputs }
    }

    /// Elements of one of an adapter's matrices, in its arena.
    pub(super) fn matrix(&self, adapter: u32, side: Side) -> (usize, Range<u64>) {
        let member = &self.members[adapter as usize];
        let Place { arena, start } = member.place(side);
        let start = u64::from(start);
        (arena, start..start + u64::from(member.rank) * u64::from(self.width(side)))
    }

    /// One of an adapter's matrices.
    pub(super) fn view<'a>(&self, adapter: u32, side: Side, arenas: &[View<'a>]) -> View<'a> {
        let (arena, elements) = self.matrix(adapter, side);
        let (arena, width) = (arenas[arena], self.width(side));
        View {
            shape: [self.members[adapter as usize].rank, 1, width],
            offset: arena.offset + elements.start * arena.dtype.bytes(),
            sample_stride: width,
            row_stride: width,
            ..arena
        }
    }

    /// Cuts a routing's segments where the class of ranks changes, and where one binding no longer holds the matrices, as
    /// they are stored or written out.
    pub(super) fn runs(&self, routing: &Routing, side: Side, stored: Dtype, limit: u64) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for (index, segment) in routing.segments.iter().enumerate() {
            // Every column of the class is written, so that none of h stays undefined.
            let rank = class(self.members[segment.adapter as usize].rank).min(self.shape.rank);
            let (arena, own) = self.matrix(segment.adapter, side);
            // From a whole word on, if two elements share one.
            let own = own.start - own.start % 2..own.end;
            if let Some(run) = runs.last_mut() {
                let both = run.elements.start.min(own.start)..run.elements.end.max(own.end);
                let longer = Run { segments: run.segments.start..index + 1, elements: both.clone(), ..*run };
                let written = longer.segments.len() as u64 * u64::from(self.elements(&longer, side)) * 4;
                let fits = (both.end - both.start) * stored.bytes() <= limit
                    && (stored == Dtype::F32 || written <= limit);
                if run.arena == arena && run.rank == rank && fits {
                    *run = longer;
                    continue;
                }
            }
            runs.push(Run { segments: index..index + 1, rank, arena, elements: own });
        }
        runs
    }

    /// Numbers from one matrix of a run to the next where they are written out: whole vectors.
    pub(super) fn elements(&self, run: &Run, side: Side) -> u32 {
        (run.rank * self.width(side)).next_multiple_of(4)
    }

    /// Numbers of all matrices that are written out.
    pub(super) fn written_out(&self, routing: &Routing, side: Side, limit: u64) -> u64 {
        // Their type matters only where it is not f32.
        let runs = self.runs(routing, side, Dtype::F16, limit);
        runs.iter().map(|run| run.segments.len() as u64 * u64::from(self.elements(run, side))).sum()
    }

    pub(super) fn check_forward<'a>(
        &self,
        gpu: &Gpu,
        args: &BankForward<'a>,
    ) -> Result<Vec<Used<'a>>, Error> {
        let mut used = self.check_inputs(gpu, args)?;
        let [samples, tokens, _] = args.x.shape;
        let LoraDesc { outputs, rank, .. } = self.shape;
        check_rows(gpu, "y", &args.y, args.x.dtype, [samples, tokens, outputs])?;
        used.push(("y", args.y, Access::Write));
        if let Some(h) = args.h {
            check_rows(gpu, "h", &h, Dtype::F32, [samples, tokens, rank])?;
            used.push(("h", h, Access::Write));
        }
        check_overlap(OP, &used)?;
        Ok(used)
    }

    fn check_backward<'a>(&self, gpu: &Gpu, args: &BankBackward<'a>) -> Result<Vec<Used<'a>>, Error> {
        let mut used = self.check_inputs(gpu, &args.forward())?;
        if let (None, Some(_)) = (args.bias, args.dbias) {
            return Err(Error::argument(OP, "dbias", "given", "there is no bias", "leave it out"));
        }
        if let Some(dbias) = args.dbias {
            self.check_bias(gpu, "dbias", &dbias, Dtype::F32)?;
            used.push(("dbias", dbias, Access::Write));
        }
        let [samples, tokens, _] = args.x.shape;
        let LoraDesc { inputs, outputs, rank, .. } = self.shape;
        let hidden = [samples, tokens, rank];
        let (wide, single) = (args.x.dtype, Dtype::F32);
        let views = [
            ("dy", Some(args.dy), Access::Read, wide, [samples, tokens, outputs]),
            ("h", args.h, Access::Read, single, hidden),
            ("u", args.u, Access::Write, single, hidden),
            ("dx", args.dx, Access::Write, wide, [samples, tokens, inputs]),
        ];
        for (name, view, access, dtype, shape) in views {
            if let Some(view) = view {
                check_rows(gpu, name, &view, dtype, shape)?;
                used.push((name, view, access));
            }
        }
        args.gate.check_gradient(&args.dgate)?;
        if let Some(dgate) = args.dgate {
            check_rows(gpu, "dgate", &dgate, Dtype::F32, dgate.shape)?;
        }
        if let Some(dlambda) = args.dlambda {
            dlambda.check_shape(OP, "dlambda", Dtype::F32, [1, 1, 1])?;
        }
        let conditions = [("dgate", args.dgate), ("dlambda", args.dlambda)];
        used.extend(conditions.into_iter().filter_map(|(name, view)| Some((name, view?, Access::Write))));
        if let Some(gradients) = args.gradients {
            if let Some([first, second]) = self.shared {
                let value = format!("with adapters {first} and {second} in the same elements");
                let rule = "gradients of two adapters must not overlap";
                return Err(Error::argument(
                    OP,
                    "gradients",
                    value,
                    rule,
                    "give every adapter its own range",
                ));
            }
            self.check_arenas("gradients", gradients, Dtype::F32)?;
            used.extend(gradients.iter().map(|view| ("gradients", *view, Access::Write)));
        }
        check_overlap(OP, &used)?;
        Ok(used)
    }

    fn check_arenas(&self, argument: &'static str, arenas: &[View<'_>], dtype: Dtype) -> Result<(), Error> {
        if arenas.len() != self.lengths.len() {
            let rule = format!("the members lie in {}", self.lengths.len());
            return Err(Error::argument(
                OP,
                argument,
                format!("{} arenas", arenas.len()),
                rule,
                "give them all",
            ));
        }
        for (index, (arena, length)) in arenas.iter().zip(&self.lengths).enumerate() {
            arena.check_shape(OP, argument, dtype, [1, 1, arena.width()])?;
            if u64::from(arena.width()) < *length {
                let value = format!("{} elements in arena {index}", arena.width());
                let rule = format!("its members end at element {length}");
                return Err(Error::argument(OP, argument, value, rule, "check the members' places"));
            }
        }
        Ok(())
    }

    /// Rows of biases; where kernels take them as an arena, without gaps.
    fn check_bias(
        &self,
        gpu: &Gpu,
        argument: &'static str,
        bias: &View<'_>,
        dtype: Dtype,
    ) -> Result<(), Error> {
        let (members, outputs) = (self.members.len() as u32, self.shape.outputs);
        check_rows(gpu, argument, bias, dtype, [members, 1, outputs])?;
        if dtype == Dtype::F32 && members > 1 && bias.sample_stride != outputs {
            let value = format!("with a row every {} elements", bias.sample_stride);
            let rule = format!("rows of {outputs} follow each other without gaps");
            return Err(Error::argument(OP, argument, value, rule, "pack the biases"));
        }
        Ok(())
    }

    /// What forward and backward share.
    fn check_inputs<'a>(&self, gpu: &Gpu, args: &BankForward<'a>) -> Result<Vec<Used<'a>>, Error> {
        let BankForward { x, arenas, bias, routing, gate, lambda, dropout, .. } = args;
        if routing.adapters as usize != self.members.len() {
            let value = format!("for {} adapters", routing.adapters);
            let rule = format!("the bank has {}", self.members.len());
            return Err(Error::argument(OP, "routing", value, rule, "route with this bank"));
        }
        if u64::from(routing.rows) != x.rows() {
            let value = format!("of {} rows", routing.rows);
            let rule = format!("x has {}", x.rows());
            return Err(Error::argument(OP, "routing", value, rule, "give every sample its rows"));
        }
        let [samples, tokens, _] = x.shape;
        check_rows(gpu, "x", x, x.float(OP, "x")?, [samples, tokens, self.shape.inputs])?;
        let numbers = arenas.first().map_or(Ok(Dtype::F32), |arena| arena.float(OP, "arenas"))?;
        self.check_arenas("arenas", arenas, numbers)?;
        if let Some(bias) = bias {
            self.check_bias(gpu, "bias", bias, numbers)?;
        }
        dropout.map_or(Ok(()), |dropout| dropout.check())?;
        gate.check([routing.samples, 1], [samples, tokens], self.shape.rank)?;
        if let Some(view) = gate.view() {
            check_rows(gpu, "gate", &view, Dtype::F32, view.shape)?;
        }
        let hidden = x.rows() * u64::from(self.shape.rank) * 4;
        if hidden > gpu.largest_view() {
            let rule = format!("rows × rank × 4 bytes must fit one binding of {}", gpu.largest_view());
            return Err(Error::argument(OP, "x", format!("{} rows", x.rows()), rule, "split the batch"));
        }
        lambda.check(OP, "lambda")?;
        let mut used = vec![("x", *x, Access::Read)];
        used.extend(arenas.iter().map(|arena| ("arenas", *arena, Access::Read)));
        used.extend(bias.map(|bias| ("bias", bias, Access::Read)));
        used.extend(gate.view().map(|gate| ("gate", gate, Access::Read)));
        used.extend(lambda.view().map(|lambda| ("lambda", lambda, Access::Read)));
        Ok(used)
    }
}

/// The bank of the biases: `words` are the members' entries.
fn of_bias(gpu: &Gpu, words: &[u32], desc: &BankDesc<'_>) -> Bank {
    let BankDesc { outputs, scaling, family, .. } = *desc;
    let member = |(id, entry): (usize, &[u32])| {
        let b_t = Place { arena: 0, start: (id as u32).wrapping_mul(outputs) };
        Member { rank: 1, alpha: f32::from_bits(entry[1]), a: Place::default(), b_t }
    };
    let members: Vec<Member> = words.chunks_exact(4).enumerate().map(member).collect();
    let entries = members.iter().flat_map(|member| [1, member.alpha.to_bits(), 0, member.b_t.start]);
    let table: Vec<u32> = entries.chain([0; 4]).chain([1f32.to_bits()]).collect();
    Bank {
        shape: LoraDesc { inputs: 1, outputs, rank: 1, alpha: 1.0, scaling, family },
        buffer: gpu.upload("lora biases", &table),
        vectors: false,
        lengths: Vec::new(),
        shared: None,
        of_bias: None,
        members,
    }
}

/// Routed kernels reach any row: a view is bound whole.
fn check_rows(
    gpu: &Gpu,
    argument: &'static str,
    view: &View<'_>,
    dtype: Dtype,
    shape: [u32; 3],
) -> Result<(), Error> {
    view.check_shape(OP, argument, dtype, shape)?;
    let (bytes, limit) = (view.span() * dtype.bytes(), gpu.largest_view());
    if bytes > limit {
        let rule = format!("rows that a routing reaches must fit one binding of {limit} bytes");
        return Err(Error::argument(OP, argument, format!("{bytes} bytes"), rule, "split the batch"));
    }
    Ok(())
}

/// Names the adapter in a refusal of its descriptor.
fn of_member(error: Error, id: usize) -> Error {
    match error {
        Error::Argument { op, argument, value, rule, remedy } => {
            Error::Argument { op, argument, value: format!("{value} of adapter {id}"), rule, remedy }
        }
        other => other,
    }
}

/// Two members whose matrices share elements.
fn shared(members: &[Member], inputs: u32, outputs: u32) -> Option<[usize; 2]> {
    let mut ranges: Vec<(usize, u64, u64, usize)> = members
        .iter()
        .enumerate()
        .flat_map(|(id, member)| {
            [(member.a, inputs), (member.b_t, outputs)].map(|(place, width)| {
                let start = u64::from(place.start);
                (place.arena, start, start + u64::from(member.rank) * u64::from(width), id)
            })
        })
        .collect();
    ranges.sort_unstable();
    let overlap = ranges.windows(2).find(|pair| pair[0].0 == pair[1].0 && pair[1].1 < pair[0].2);
    overlap.map(|pair| [pair[0].3, pair[1].3])
}
