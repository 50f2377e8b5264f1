//! Forward and backward of one layer, whoever holds its adapters; several layers at once.

use super::gpu::{self, Gated};
use super::maps::{Maps, Side};
use super::{Family, Gate, OP, class};
use crate::Error;
use crate::gpu::reduce::zero;
use crate::gpu::{Knob, Mode, Recorder, Scratch, View};
use std::cell::OnceCell;

/// Scratch that is taken where it is first needed.
pub(super) type Room = OnceCell<Scratch>;

/// What forward and backward share, checked.
pub(super) struct Step<'a> {
    pub family: Family,
    /// Width of h and u.
    pub rank: u32,
    pub maps: Maps<'a>,
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

/// Records the forward of independent layers in three waves: every `h`, then every `h ⊙ g`, then every injection.
pub(super) fn forward(recorder: &mut Recorder<'_>, layers: &[(Step<'_>, View<'_>)]) -> Result<(), Error> {
    let rooms: Vec<[Room; 2]> = layers.iter().map(|_| Default::default()).collect();
    let mut hidden = Vec::with_capacity(layers.len());
    for ((step, _), room) in layers.iter().zip(&rooms) {
        let off = step.lambda.is_host_zero();
        if off && step.h.is_none() {
            continue;
        }
        let h = match step.h {
            Some(h) => h,
            None => step.intermediate(recorder, &room[0])?,
        };
        step.down(recorder, Side::A, &step.x, &h)?;
        hidden.extend((!off).then_some(h));
    }
    let several = layers.len() > 1;
    if several {
        recorder.read_next(hidden.iter().map(|h| h.buffer));
    }
    let on = || layers.iter().zip(&rooms).filter(|((step, _), _)| !step.lambda.is_host_zero());
    for (((step, _), room), h) in on().zip(&mut hidden) {
        *h = step.gated(recorder, *h, &room[1])?;
    }
    if several {
        recorder.read_next(hidden.iter().map(|h| h.buffer));
    }
    for (((step, y), _), h) in on().zip(&hidden) {
        step.up(recorder, Side::B, h, y, Mode::Accumulate)?;
    }
    Ok(())
}

impl<'a> Step<'a> {
    pub(super) fn forward(self, recorder: &mut Recorder<'_>, y: &View<'_>) -> Result<(), Error> {
        forward(recorder, &[(self, *y)])
    }

    pub(super) fn backward(&self, recorder: &mut Recorder<'_>, args: &Gradient<'_>) -> Result<(), Error> {
        let off = self.lambda.is_host_zero();
        if off {
            self.zero_outputs(recorder, args)?;
        }
        let (dx, da, db_t, dgate) =
            if off { (None, None, None, None) } else { (args.dx, args.da, args.db_t, args.dgate) };
        let of_gates = args.dlambda.or(dgate).is_some();
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
                gpu::dlambda(recorder, self, &u, &h, dlambda, args.condition_mode)?;
            }
        }
        if dx.is_none() && da.is_none() {
            return Ok(());
        }
        let u = self.gated(recorder, u, &room[0])?;
        if let Some(dx) = &dx {
            self.up(recorder, Side::A, &u, dx, args.dx_mode)?;
        }
        match &da {
            Some(da) => gpu::outer(recorder, self, Side::A, &u, &self.x, da, args.parameter_mode),
            None => Ok(()),
        }
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
        y: &View<'_>,
        mode: Mode,
    ) -> Result<(), Error> {
        if mode == Mode::Overwrite && self.maps.routing().is_some_and(|routing| routing.leaves_rows) {
            zero(recorder, OP, y)?;
        }
        gpu::up(recorder, self, side, h, y, mode)
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
        let outputs = [(args.dx, args.dx_mode), (args.dgate, args.condition_mode)];
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
        }
        zeroed.iter().try_for_each(|output| zero(recorder, OP, output))
    }

    /// The matrices of the adapters that have rows.
    fn present<'r>(&self, side: Side, arenas: &[View<'r>]) -> Vec<View<'r>> {
        let Maps::Many { bank, routing, .. } = &self.maps else { return Vec::new() };
        let matrix = |adapter| {
            let (arena, elements) = bank.matrix(adapter, side);
            let arena = arenas[arena];
            let length = (elements.end - elements.start) as u32;
            View { offset: arena.offset + elements.start * 4, shape: [1, 1, length], ..arena }
        };
        routing.present().map(matrix).collect()
    }

    /// A view of x's rows of width rank in `room`, which is taken from the recorder the first time.
    fn intermediate<'r>(&self, recorder: &mut Recorder<'_>, room: &'r Room) -> Result<View<'r>, Error> {
        let scratch = match room.get() {
            Some(scratch) => scratch,
            None => {
                let fresh = recorder.scratch(OP, self.x.rows() * u64::from(self.rank) * 4)?;
                room.get_or_init(|| fresh)
            }
        };
        let [samples, tokens, _] = self.x.shape;
        Ok(scratch.tokens([samples, tokens, self.rank]))
    }
}
