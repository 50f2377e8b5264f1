//! Forward and backward of one layer, whoever holds its adapters; several layers at once.

use super::gpu::{self, Gated, Onto, Target};
use super::maps::{Maps, Side};
use super::{Dropout, Family, Gate, OP, Used, class};
use crate::Error;
use crate::gpu::reduce::{MAX_PARTIAL_BYTES, zero};
use crate::gpu::{Dtype, Knob, Mode, Recorder, Scratch, View};
use std::cell::OnceCell;

/// Scratch that is taken where it is first needed.
pub(super) type Room = OnceCell<Scratch>;

/// What forward and backward share, checked.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub family: Family,
    /// Width of h and u.
    pub rank: u32,
    pub maps: Maps<'a>,
    /// Of one adapter, or a row of each of many.
    pub bias: Option<View<'a>>,
    /// Of x, if any is drawn.
    pub dropout: Option<Dropout>,
    pub x: View<'a>,
    pub gate: Gate<'a>,
    pub lambda: Knob<'a>,
    pub h: Option<View<'a>>,
}

/// Outputs of a backward, checked.
pub(super) struct Gradient<'a> {
    pub dy: View<'a>,
    pub u: Option<View<'a>>,
    pub dx: Option<View<'a>>,
    pub da: Option<Matrices<'a>>,
    pub db_t: Option<Matrices<'a>>,
    pub dbias: Option<View<'a>>,
    pub dgate: Option<View<'a>>,
    pub dlambda: Option<View<'a>>,
    pub dx_mode: Mode,
    pub parameter_mode: Mode,
    pub condition_mode: Mode,
}

/// Gradients of A or b_t.
#[derive(Clone, Copy)]
pub(super) enum Matrices<'a> {
    One(View<'a>),
    /// In arenas of the bank's layout.
    Many(&'a [View<'a>]),
}

/// Records an op all or not at all: where rows may not fit a binding, the same code checks everything first.
pub(super) fn recorded(
    recorder: &mut Recorder<'_>,
    used: &[Used<'_>],
    hidden_bytes: u64,
    record: impl Fn(&mut Recorder<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let limit = recorder.gpu().largest_view();
    let bytes = used.iter().map(|(_, view, _)| view.span() * view.dtype.bytes());
    if bytes.chain([hidden_bytes, MAX_PARTIAL_BYTES]).any(|bytes| bytes > limit) {
        recorder.gpu().scratch_bytes(&record)?;
    }
    record(recorder)
}

/// Records the forward of independent layers in three waves: every `h`, then every `h ⊙ g`, then every injection. Before
/// them go weights that are stored in halves.
pub(super) fn forward(recorder: &mut Recorder<'_>, layers: &[(Step<'_>, Target<'_>)]) -> Result<(), Error> {
    let rooms: Vec<([Room; 3], [Room; 2])> = layers.iter().map(|_| Default::default()).collect();
    let mut running = Vec::with_capacity(layers.len());
    for ((step, target), (weights, room)) in layers.iter().zip(&rooms) {
        let is_off = step.lambda.is_host_zero();
        if is_off {
            step.leave(recorder, target)?;
        }
        if !is_off || step.h.is_some() {
            running.push((step.in_f32(recorder, weights)?, target, room));
        }
    }
    let several = layers.len() > 1;
    if several {
        let widened = rooms.iter().flat_map(|(weights, _)| weights).filter_map(Room::get);
        recorder.read_next(widened.map(|weights| weights.vector(1).buffer));
    }
    let mut hidden = Vec::with_capacity(layers.len());
    for (step, _, room) in &running {
        let h = match step.h {
            Some(h) => h,
            None => step.intermediate(recorder, &room[0])?,
        };
        step.down(recorder, Side::A, &step.x, &h)?;
        hidden.extend((!step.lambda.is_host_zero()).then_some(h));
    }
    running.retain(|(step, ..)| !step.lambda.is_host_zero());
    if several {
        recorder.read_next(hidden.iter().map(|h| h.buffer));
    }
    for ((step, _, room), h) in running.iter().zip(&mut hidden) {
        *h = step.gated(recorder, *h, &room[1])?;
    }
    if several {
        recorder.read_next(hidden.iter().map(|h| h.buffer));
    }
    for ((step, target, _), h) in running.iter().zip(&hidden) {
        step.up(recorder, Side::B, h, target)?;
    }
    Ok(())
}

impl<'a> Step<'a> {
    /// Bytes of h, and of u.
    pub(super) fn hidden_bytes(&self) -> u64 {
        self.x.rows() * u64::from(self.rank) * 4
    }

    pub(super) fn forward(&self, recorder: &mut Recorder<'_>, target: Target<'_>) -> Result<(), Error> {
        forward(recorder, &[(*self, target)])
    }

    /// The second half of a forward: the injection of an h that is there, whose rows are `x`'s.
    pub(super) fn inject(
        &self,
        recorder: &mut Recorder<'_>,
        h: &View<'_>,
        target: &Target<'_>,
    ) -> Result<(), Error> {
        if self.lambda.is_host_zero() {
            return self.leave(recorder, target);
        }
        let (weights, room): ([Room; 3], Room) = Default::default();
        let step = self.in_f32(recorder, &weights)?;
        let h = step.gated(recorder, *h, &room)?;
        step.up(recorder, Side::B, &h, target)
    }

    pub(super) fn backward(&self, recorder: &mut Recorder<'_>, args: &Gradient<'_>) -> Result<(), Error> {
        let weights: [Room; 3] = Default::default();
        // Of the gradients, only dλ reads the bias itself.
        let bias = self.bias.filter(|_| args.dlambda.is_some());
        let step = Step { bias, ..*self }.in_f32(recorder, &weights)?;
        if !step.lambda.is_host_zero() {
            return step.gradients(recorder, args);
        }
        step.zero_outputs(recorder, args)?;
        let dx = args.dx.filter(|dx| zeroes_by_map(dx, args.dx_mode));
        step.gradients(recorder, &Gradient { dx, da: None, db_t: None, dbias: None, dgate: None, ..*args })
    }

    fn gradients(&self, recorder: &mut Recorder<'_>, args: &Gradient<'_>) -> Result<(), Error> {
        let Gradient { dx, da, db_t, dbias, dgate, .. } = *args;
        let of_gates = args.dlambda.or(dgate).is_some();
        let room_of_sums = Room::new();
        let sums = match self.bias.or(dbias) {
            Some(bias) if self.maps.routing().is_none() => {
                let sums =
                    scratch(recorder, &room_of_sums, u64::from(bias.width()) * 4)?.vector(bias.width());
                gpu::output_sums(recorder, &args.dy, &sums)?;
                Some(sums)
            }
            _ => None,
        };
        match (&dbias, &sums) {
            (None, _) => {}
            (Some(dbias), Some(sums)) => gpu::dbias(recorder, self, sums, dbias, args.parameter_mode)?,
            (Some(dbias), None) => {
                gpu::dbias_of_many(recorder, self, &args.dy, dbias, args.parameter_mode)?;
            }
        }
        // Two rooms of rows × rank in turn: h, then u ⊙ g; h ⊙ g, then u.
        let room: [Room; 2] = Default::default();
        let h = match self.h {
            None if of_gates || db_t.is_some() => {
                let h = self.intermediate(recorder, &room[0])?;
                self.down(recorder, Side::A, &self.x, &h)?;
                Some(h)
            }
            given => given,
        };
        if let (Some(db_t), Some(h)) = (&db_t, h) {
            let h = self.gated(recorder, h, &room[1])?;
            gpu::outer(recorder, self, Side::B, &h, &args.dy, db_t, args.parameter_mode)?;
        }
        let u = match args.u {
            None if of_gates || dx.is_some() || da.is_some() => Some(self.intermediate(recorder, &room[1])?),
            given => given,
        };
        let Some(u) = u else { return Ok(()) };
        self.down(recorder, Side::B, &args.dy, &u)?;
        if let Some(h) = h.filter(|_| of_gates) {
            if let Some(dgate) = &dgate {
                gpu::dgate(recorder, self, &u, &h, dgate, args.condition_mode)?;
            }
            if let Some(dlambda) = &args.dlambda {
                let (dy, sums) = (&args.dy, sums.as_ref());
                gpu::dlambda(recorder, self, &u, &h, dy, sums, dlambda, args.condition_mode)?;
            }
        }
        if dx.is_none() && da.is_none() {
            return Ok(());
        }
        let u = self.gated(recorder, u, &room[0])?;
        if let Some(dx) = &dx {
            self.up(recorder, Side::A, &u, &Target::new(*dx, args.dx_mode))?;
        }
        match &da {
            Some(da) => gpu::outer(recorder, self, Side::A, &u, &self.x, da, args.parameter_mode),
            None => Ok(()),
        }
    }

    /// The same with weights in f32: themselves, or in `rooms`.
    fn in_f32<'r>(&self, recorder: &mut Recorder<'_>, rooms: &'r [Room; 3]) -> Result<Step<'r>, Error>
    where
        'a: 'r,
    {
        let maps = match self.maps {
            Maps::One { a, b_t, scale } => {
                let a = widened(recorder, a, &rooms[0])?;
                Maps::One { a, b_t: widened(recorder, b_t, &rooms[1])?, scale }
            }
            Maps::Many { bank, routing, arenas, .. }
                if arenas.first().is_some_and(|arena| arena.dtype != Dtype::F32) =>
            {
                let mut write = |side: Side, room: &'r Room| -> Result<View<'r>, Error> {
                    let numbers = bank.written_out(routing, side, recorder.gpu().largest_view());
                    let scratch = scratch(recorder, room, numbers * 4)?;
                    let out = scratch.vector(u32::try_from(numbers).unwrap_or(u32::MAX));
                    gpu::widen_many(recorder, bank, routing, side, arenas, &out)?;
                    Ok(out)
                };
                let widened = Some([write(Side::A, &rooms[0])?, write(Side::B, &rooms[1])?]);
                Maps::Many { bank, routing, arenas, widened }
            }
            many => many,
        };
        let bias = self.bias.map(|bias| widened(recorder, bias, &rooms[2])).transpose()?;
        Ok(Step { maps, bias, ..*self })
    }

    /// The biases of many adapters as maps of rank 1, and the h of 1 that they take.
    pub(super) fn of_bias<'r>(&self, arenas: &'r [View<'r>]) -> Option<(Step<'r>, View<'r>)>
    where
        'a: 'r,
    {
        let Maps::Many { bank, routing, .. } = self.maps else { return None };
        let (bank, [samples, tokens, _]) = (bank.of_bias()?, self.x.shape);
        let maps = Maps::Many { bank, routing, arenas, widened: None };
        let step = Step { maps, rank: 1, bias: None, dropout: None, gate: Gate::None, h: None, ..*self };
        Some((step, bank.ones([samples, tokens])))
    }

    /// Dropout of what a map's matrix on this side is multiplied with, or of its gradient.
    pub(super) fn dropout_of(&self, side: Side) -> Option<Dropout> {
        self.dropout.filter(|_| side == Side::A)
    }

    /// Rows times a matrix of every row's adapter; 0 where there is none.
    fn down(&self, recorder: &mut Recorder<'_>, side: Side, x: &View<'_>, h: &View<'_>) -> Result<(), Error> {
        if let Maps::Many { bank, routing, .. } = &self.maps {
            let class_of = |adapter: u32| class(bank.members()[adapter as usize].rank);
            if routing.leaves_rows || routing.present().any(|adapter| class_of(adapter) != class(self.rank)) {
                zero(recorder, OP, h)?;
            }
        }
        gpu::down(recorder, self, side, x, h)
    }

    /// The injection of gated rows; a row without an adapter gets 0.
    fn up(
        &self,
        recorder: &mut Recorder<'_>,
        side: Side,
        h: &View<'_>,
        target: &Target<'_>,
    ) -> Result<(), Error> {
        let replaces = matches!(target.onto, Onto::Nothing);
        if replaces && self.maps.routing().is_some_and(|routing| routing.leaves_rows) {
            // Only maps write halves.
            if target.y.dtype == Dtype::F32 {
                zero(recorder, OP, &target.y)?;
            } else {
                self.off(recorder, target)?;
            }
        }
        gpu::up(recorder, self, side, h, target)
    }

    /// An injection without an addend: y stays, and at another place it has the same bits.
    fn leave(&self, recorder: &mut Recorder<'_>, target: &Target<'_>) -> Result<(), Error> {
        match target.onto {
            Onto::Base(_) => self.off(recorder, target),
            Onto::Nothing | Onto::Itself => Ok(()),
        }
    }

    /// A map that is off: zeros, or the bits of the base.
    fn off(&self, recorder: &mut Recorder<'_>, target: &Target<'_>) -> Result<(), Error> {
        // What h and the matrix hold does not matter; all rows share four numbers.
        let [samples, tokens, width] = target.y.shape;
        let room = recorder.scratch(OP, u64::from(width) * 16)?;
        let matrix = room.matrix(4, width);
        let h = View { shape: [samples, tokens, 4], sample_stride: 0, row_stride: 0, ..matrix };
        let maps = Maps::One { a: matrix, b_t: matrix, scale: 1.0 };
        let off = Step { maps, lambda: Knob::Host(0.0), bias: None, dropout: None, ..*self };
        gpu::up(recorder, &off, Side::B, &h, target)
    }

    /// Rows times their gates, in `room`; without gates the rows themselves.
    fn gated<'r>(
        &self,
        recorder: &mut Recorder<'_>,
        rows: View<'r>,
        room: &'r Room,
    ) -> Result<View<'r>, Error> {
        if self.gate.view().is_none() {
            return Ok(rows);
        }
        let out = self.intermediate(recorder, room)?;
        gpu::gated(recorder, &Gated { rows, gate: self.gate, routing: self.maps.routing() }, &out)?;
        Ok(out)
    }

    fn zero_outputs(&self, recorder: &mut Recorder<'_>, args: &Gradient<'_>) -> Result<(), Error> {
        let dx = args.dx.filter(|dx| !zeroes_by_map(dx, args.dx_mode));
        let dbias = args.dbias.filter(|_| self.maps.routing().is_none());
        let outputs = [(dx, args.dx_mode), (dbias, args.parameter_mode), (args.dgate, args.condition_mode)];
        let mut zeroed: Vec<View<'_>> = outputs
            .into_iter()
            .filter(|(_, mode)| *mode == Mode::Overwrite)
            .filter_map(|(view, _)| view)
            .collect();
        if args.parameter_mode == Mode::Overwrite {
            for (side, matrices) in [(Side::A, &args.da), (Side::B, &args.db_t)] {
                match matrices {
                    None => {}
                    Some(Matrices::One(view)) => zeroed.push(*view),
                    Some(Matrices::Many(arenas)) => zeroed.extend(self.present(side, arenas)),
                }
            }
            if let (Some((of_bias, _)), Some(dbias)) = (self.of_bias(&[]), &args.dbias) {
                zeroed.extend(of_bias.present(Side::B, &[gpu::as_arena(dbias)]));
            }
        }
        zeroed.iter().try_for_each(|output| zero(recorder, OP, output))
    }

    /// The matrices of the adapters that have rows.
    fn present<'r>(&self, side: Side, arenas: &[View<'r>]) -> Vec<View<'r>> {
        let Maps::Many { bank, routing, .. } = &self.maps else { return Vec::new() };
        routing.present().map(|adapter| bank.view(adapter, side, arenas)).collect()
    }

    /// A view of x's rows of width rank in `room`, which is taken from the recorder the first time.
    fn intermediate<'r>(&self, recorder: &mut Recorder<'_>, room: &'r Room) -> Result<View<'r>, Error> {
        let [samples, tokens, _] = self.x.shape;
        Ok(scratch(recorder, room, self.hidden_bytes())?.tokens([samples, tokens, self.rank]))
    }
}

/// A host λ of 0 zeroes a dx of halves by the map itself, the one kernel that writes them.
fn zeroes_by_map(dx: &View<'_>, mode: Mode) -> bool {
    dx.dtype != Dtype::F32 && mode == Mode::Overwrite
}

/// What is in `room`, taken from the recorder the first time.
fn scratch<'r>(recorder: &mut Recorder<'_>, room: &'r Room, bytes: u64) -> Result<&'r Scratch, Error> {
    if let Some(scratch) = room.get() {
        return Ok(scratch);
    }
    let fresh = recorder.scratch(OP, bytes)?;
    Ok(room.get_or_init(|| fresh))
}

/// Weights in f32: themselves, or in `room`.
fn widened<'r>(recorder: &mut Recorder<'_>, view: View<'r>, room: &'r Room) -> Result<View<'r>, Error> {
    if view.dtype == Dtype::F32 {
        return Ok(view);
    }
    let bytes = view.rows() * u64::from(view.width()) * 4;
    let out = scratch(recorder, room, bytes)?.tokens(view.shape);
    gpu::widen(recorder, &view, &out)?;
    Ok(out)
}
