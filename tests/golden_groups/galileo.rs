//! Galileo; and Presto's groups of the same form.

use super::case::Case;
use super::outcome::Outcome;
use super::{Result, encode, encode_tokens};
use gtca::encode::{Axis, Block, Galileo, GalileoTokens, Plan, TokenGrid};
use gtca::gpu::Gpu;
use gtca::records::Record;

/// A record in each month.
fn months() -> Vec<Record> {
    (1..=12).map(|month| Record::new().date(2023, month, 1)).collect()
}

/// A month table `[12, dim]`.
pub fn months_of(gpu: &'static Gpu, case: &Case<'_>, block: impl Fn(u32) -> Block) -> Result<Outcome> {
    let width = case.i32("in.dim")?[0] as u32;
    let e = encode(gpu, Plan::new(&[block(width)])?, &months(), &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

/// Positions `[length, dim]`.
pub fn positions_of(gpu: &'static Gpu, case: &Case<'_>, block: impl Fn(u32) -> Block) -> Result<Outcome> {
    let [length, width] = case.i32("in.len_dim")?[..] else { return Err("length and width".into()) };
    let plan = Plan::new(&[block(width as u32)])?;
    let grid = TokenGrid::series(length as u32, 1, 1);
    let e = encode_tokens(gpu, plan, &[Record::new()], &[], grid, length as u32)?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

/// Unit vectors `[N, 3]`.
pub fn places_of(gpu: &'static Gpu, case: &Case<'_>, block: Block) -> Result<Outcome> {
    let input = case.f64("in.latlon_deg")?;
    let record = |p: &[f64]| Record::new().lat_deg(p[0]).lon_deg(p[1]);
    let records: Vec<_> = input.chunks_exact(2).map(record).collect();
    let e = encode(gpu, Plan::new(&[block])?, &records, &[])?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

pub fn month_table(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    months_of(gpu, case, |width| Block::Galileo(Galileo::Month { width }))
}

pub fn posemb1d(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    positions_of(gpu, case, |width| Block::Galileo(Galileo::Position { width }))
}

pub fn cartesian(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    places_of(gpu, case, Block::Galileo(Galileo::Place))
}

pub fn posemb2d_res(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let [side, width, patch_px] = case.i32("in.grid_dim_patch")?[..] else {
        return Err("side, width and patch".into());
    };
    let (side, patch_px) = (side as u32, patch_px.into());
    let records: Vec<_> = case.f64("in.gsd_m")?.iter().map(|&gsd| Record::new().gsd_m(gsd)).collect();
    let plan = Plan::new(&[Block::Galileo(Galileo::Space { width: width as u32, patch_px })])?;
    let e = encode_tokens(gpu, plan, &records, &[], TokenGrid::image(side, side), side * side)?;
    Outcome::near(&e, &case.f64("out_f64")?, 1e-6)
}

/// Sizes of one output of `apply_encodings`: `[B, rows, columns, frames, channels, E]`, absent axes of one step.
struct Tokens {
    batch: usize,
    side: [usize; 2],
    frames: usize,
    channels: usize,
    width: usize,
}

impl Tokens {
    fn of(kind: GalileoTokens, shape: &[usize]) -> Option<Self> {
        let (side, frames, rest) = match (kind, shape) {
            (GalileoTokens::SpaceTime, [_, h, w, t, rest @ ..]) => ([*h, *w], *t, rest),
            (GalileoTokens::Space, [_, h, w, rest @ ..]) => ([*h, *w], 1, rest),
            (GalileoTokens::Time, [_, t, rest @ ..]) => ([1, 1], *t, rest),
            (_, [_, rest @ ..]) => ([1, 1], 1, rest),
            _ => return None,
        };
        let [channels, width] = rest[..] else { return None };
        Some(Self { batch: shape[0], side, frames, channels, width })
    }

    fn count(&self) -> usize {
        self.side[0] * self.side[1] * self.frames * self.channels
    }

    fn grid(&self) -> TokenGrid {
        let strides =
            [self.channels, self.channels * self.frames, self.channels * self.frames * self.side[1]];
        let axis = |count: usize, stride: usize| Axis { count: count as u32, stride: stride as u32 };
        TokenGrid {
            channel: axis(self.channels, 1),
            frame: axis(self.frames, strides[0]),
            column: axis(self.side[1], strides[1]),
            row: axis(self.side[0], strides[2]),
            frames_a_record: 1,
            ..Default::default()
        }
    }

    /// Value and angle of each column of the token `t`, in f64.
    fn reference(
        &self,
        kind: GalileoTokens,
        channel: &[f32],
        months0: &[i32],
        r: f64,
        t: usize,
    ) -> Vec<[f64; 2]> {
        let (quarter, frame) = (self.width / 4, t / self.channels % self.frames);
        let place = t / (self.channels * self.frames);
        let (column, row) = (place % self.side[1], place / self.side[1]);
        let ladder = |at: f64, width: usize| -> Vec<[f64; 2]> {
            let angle = |i: usize| at * 10_000f64.powf(-(i as f64) / (2.0 * width as f64));
            let sines = (0..width / 2).map(|i| [angle(i).sin(), angle(i)]);
            sines.chain((0..width / 2).map(|i| [angle(i).cos(), angle(i)])).collect()
        };
        let nothing = vec![[0.0; 2]; quarter];
        let own = t % self.channels * quarter;
        let learned = channel[own..own + quarter].iter().map(|&value| [value.into(), 0.0]).collect();
        let month = f64::from(months0.get(frame).copied().unwrap_or(0)) / 12.0 * std::f64::consts::TAU;
        let month: Vec<_> =
            (0..quarter).map(|i| [if i < quarter / 2 { month.sin() } else { month.cos() }, month]).collect();
        let space = [ladder(column as f64 * r, quarter / 2), ladder(row as f64 * r, quarter / 2)].concat();
        let in_time = matches!(kind, GalileoTokens::SpaceTime | GalileoTokens::Time);
        let in_space = matches!(kind, GalileoTokens::SpaceTime | GalileoTokens::Space);
        let position = if in_time { ladder(frame as f64, quarter) } else { nothing.clone() };
        let month = if in_time { month } else { nothing.clone() };
        [learned, position, month, if in_space { space } else { nothing }].concat()
    }
}

/// Ours against the formula in f64, and upstream's f32 within its own error: eight roundings of the angle.
fn apply_to(gpu: &'static Gpu, case: &Case<'_>, kind: GalileoTokens, name: &str) -> Result<Outcome> {
    let leaf = format!("out.{name}_f32");
    let tokens = Tokens::of(kind, case.shape(&leaf)?).ok_or("not the shape of such tokens")?;
    let channel = case.f32(&format!("in.{name}_channel_embed"))?;
    let [patch_px, gsd_m] = case.i32("in.patch_inputres")?[..] else { return Err("patch and gsd".into()) };
    let (months0, steps) = (case.i32("in.months0")?, case.width("in.months0")?);
    // A record's month moves with its frame; upstream lists a month for each.
    let record = |i: usize| {
        let (sample, frame) = (i / tokens.frames, i % tokens.frames);
        let first = (months0[sample * steps + frame] - frame as i32).rem_euclid(12);
        Record::new().month(first + 1).gsd_m(gsd_m.into())
    };
    let records: Vec<_> = (0..tokens.batch * tokens.frames).map(record).collect();
    let plan = kind.plan(tokens.width as u32, tokens.channels as u32, patch_px.into())?;
    let arena = [vec![0.0; tokens.width / 4], channel.clone()].concat();
    let e = encode_tokens(gpu, plan, &records, &arena, tokens.grid(), tokens.count() as u32)?;
    let r = f64::from(gsd_m) * f64::from(patch_px) / 10.0;
    let reference = |i: usize| {
        let months0 = &months0[i / tokens.count() * steps..][..steps];
        tokens.reference(kind, &channel, months0, r, i % tokens.count())
    };
    let expected: Vec<_> = (0..tokens.batch * tokens.count()).flat_map(reference).collect();
    let values: Vec<_> = expected.iter().map(|[value, _]| *value).collect();
    let upstream = |i: usize| 1e-6 + 8.0 * 2f64.powi(-24) * expected[i][1].abs();
    let ours = Outcome::near(&e, &values, 1e-6)?;
    Ok(ours.and(Outcome::within(&e, &case.f64(&leaf)?, upstream)?))
}

pub fn apply_encodings(gpu: &'static Gpu, case: &Case<'_>) -> Result<Outcome> {
    let space_time = apply_to(gpu, case, GalileoTokens::SpaceTime, "s_t")?;
    let space = apply_to(gpu, case, GalileoTokens::Space, "sp")?;
    let time = apply_to(gpu, case, GalileoTokens::Time, "t")?;
    Ok(space_time.and(space).and(time).and(apply_to(gpu, case, GalileoTokens::Static, "st")?))
}
