//! Gradient of what records hold (place, time, ground sample distance), for those who optimise it.

use super::gpu::{ForwardParams, MAX_NUMBER_BYTES, Run, number_bytes, number_words};
use super::scheme::Sample;
use super::{Encoder, OP, Source, harmonics};
use crate::Error;
use crate::common::calendar::days_in_year;
use crate::common::fixed64::f32_from_i64;
use crate::common::geodesy::polar;
use crate::common::phase::{sincos_turns, turns_from_degrees};
use crate::common::season::{derived_day_of_year, year_phase};
use crate::gpu::{Access, Binding, Dispatch, Dtype, Kernel, Mode, Recorder, Room, View, check_overlap};
use crate::records::Field;

pub(super) static NUMBER_GRADIENT: Kernel = Kernel {
    name: "encode/number_gradient",
    source: include_str!("../../shaders/encode/number_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[&[]],
    loop_bound: "the block's waves, columns and numbers",
    when: "gradient of the inputs: of the numbers that waves run on, once a block of waves",
};

pub(super) static INPUT_GRADIENT: Kernel = Kernel {
    name: "encode/input_gradient",
    source: include_str!("../../shaders/encode/input_gradient.wgsl"),
    storage: &[Binding::Read, Binding::Read, Binding::Read, Binding::Read, Binding::Write],
    params_bytes: size_of::<ForwardParams>(),
    flags: &[&[], &["ACCUMULATE"]],
    loop_bound: "32 times the plan's numbers",
    when: "gradient of the inputs: from numbers to place, time and length",
};

/// Arguments of [`Encoder::input_gradient`].
///
/// ```no_run
/// use gtca::encode::{Encoder, InputGradient};
/// use gtca::gpu::{Mode, Recorder, View};
/// # fn f(
/// #     encoder: &Encoder,
/// #     recorder: &mut Recorder<'_>,
/// #     [records, arena, de, dinput]: [View<'_>; 4],
/// # ) -> Result<(), gtca::Error> {
/// // dinput: [S, 4], per degree of latitude, degree of longitude, day, metre.
/// let args = InputGradient { records, arena, given: None, de, dinput, mode: Mode::Overwrite };
/// encoder.input_gradient(recorder, &args)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InputGradient<'a> {
    /// As in the forward.
    pub records: View<'a>,
    /// As in the forward; read where the plan learns scales.
    pub arena: View<'a>,
    /// As in the forward.
    pub given: Option<View<'a>>,
    /// Gradient of e, `[S, M]`.
    pub de: View<'a>,
    /// Written: `[S, 4]`, with respect to latitude and longitude (per degree), time (per day) and ground sample distance
    /// (per metre).
    pub dinput: View<'a>,
    /// Whether `dinput` is replaced or added to.
    pub mode: Mode,
}

impl Source {
    /// Whether it changes smoothly with what a record holds.
    fn has_gradient(self) -> bool {
        use Source as S;
        let place = matches!(self, S::LatDeg | S::LonDeg | S::LatTurns | S::LonTurns);
        let map = matches!(self, S::UnitX | S::UnitY | S::UnitZ | S::EqualEarthX | S::EqualEarthY);
        let time = matches!(self, S::SeasonTurns | S::YearsSince2015 | S::DayTurns | S::LocalSecond);
        place || map || time || matches!(self, S::GsdM | S::Octaves)
    }
}

impl Encoder {
    /// Records the gradient of the inputs of every record, through all blocks of the plan: latitude and longitude (per
    /// degree), time (per day of 86,400 s), ground sample distance (per metre).
    ///
    /// A missing input has 0, and so has what a block does not read. Numbers that step have none: day of the year, ISO week,
    /// month, hour, year, GT-Loc's month position, coordinate tokens, ids, validity columns. Records hold whole seconds, which
    /// count as continuous; where the day is known but not the second, the season still moves from day to day, and where only
    /// the month or the year is, it stands still. At the seams of the year, of the day and of ±180° it is the derivative on the
    /// record's side. The length of a year is that of the record's local year.
    ///
    /// The derivative of a feature `a · sin 2πfx`, or of a product of two, errs by at most `3e-7 · 2πf|a| · |∂x/∂input|`, and where
    /// x is on the sphere or the Equal Earth map by at most `3e-7 · 2πf|a| · π/180` more. That of a column of spherical
    /// harmonics errs by at most l·(2e-7 + 1e-8·l)·π/180 at degree l (π times that where the convention has π). At a pole the
    /// longitude's is 0 through harmonics, but for rounding. A record alone gives the same bits.
    ///
    /// # Errors
    /// As [`Encoder::forward`]; also a plan in which nothing changes smoothly with an input.
    pub fn input_gradient(&self, recorder: &mut Recorder<'_>, args: &InputGradient<'_>) -> Result<(), Error> {
        if self.plan.reads_tokens() {
            let rule = "some block needs a token's place";
            let remedy = "keep such blocks in a plan of their own";
            return Err(Error::argument(OP, "plan", "of tokens", rule, remedy));
        }
        let is_smooth = self.plan.numbers().iter().any(|source| source.has_gradient());
        if !is_smooth && !self.plan.layouts().iter().any(|layout| layout.block.is_harmonics()) {
            let rule = "no block of this plan changes smoothly with an input";
            return Err(Error::argument(OP, "dinput", "asked for", rule, "skip it"));
        }
        let samples = args.de.rows();
        self.check_records(recorder, &args.records, samples)?;
        self.check_arena(recorder, &args.arena)?;
        args.de.check_rows(OP, "de", Dtype::F32, samples, self.plan.width())?;
        args.dinput.check_rows(OP, "dinput", Dtype::F32, samples, 4)?;
        let mut used = vec![
            ("records", args.records, Access::Read),
            ("arena", args.arena, Access::Read),
            ("de", args.de, Access::Read),
            ("dinput", args.dinput, Access::Write),
        ];
        used.extend(self.check_given(args.given, samples)?);
        check_overlap(OP, &used)?;
        record(self, recorder, args)
    }
}

fn record(encoder: &Encoder, recorder: &mut Recorder<'_>, args: &InputGradient<'_>) -> Result<(), Error> {
    let alignment = recorder.gpu().alignment();
    let mut views = vec![args.de, args.dinput];
    views.extend(args.given);
    let room = Room { row_bytes: number_bytes(&encoder.plan, 1), limit: MAX_NUMBER_BYTES };
    for range in recorder.gpu().row_chunks_within(OP, &views, 1, room)? {
        let rows = range.end - range.start;
        let numbers = recorder.scratch(OP, number_bytes(&encoder.plan, rows))?;
        let numbers = numbers.vector(number_words(&encoder.plan, rows)).bind(alignment);
        let slopes = recorder.zeroed_scratch(OP, number_bytes(&encoder.plan, rows) / 2)?;
        let slopes = slopes.vector(number_words(&encoder.plan, rows) / 2).bind(alignment);
        let de = args.de.bind_rows(&range, alignment);
        let dinput = args.dinput.bind_rows(&range, alignment);
        let run = Run {
            records: args.records.columns(range.start, rows),
            arena: args.arena.bind(alignment),
            given: args.given.map(|given| given.slice_rows(range.start, range.end)),
            e: de,
            // Neither kernel counts.
            status: dinput,
            rows,
            tokens: 1,
            grid: None,
        };
        run.numbers(encoder, recorder, numbers)?;
        let (records, plan) = (run.records.bind(alignment), encoder.words().bind(alignment));
        for (block, layout) in encoder.plan.headers() {
            let waves = layout.block.scheme().waves();
            if waves.is_none_or(|waves| !waves.sources().into_iter().any(Source::has_gradient)) {
                continue;
            }
            let params = run.params(encoder, recorder, &(block..block + 1), 1);
            recorder.dispatch(&Dispatch {
                kernel: &NUMBER_GRADIENT,
                flags: &[],
                params: bytemuck::bytes_of(&params),
                knobs: &[],
                storage: &[records, plan, run.arena, numbers, de, slopes],
                groups: rows.div_ceil(64).into(),
                iterations: encoder.plan.iterations(),
            })?;
        }
        let count = encoder.plan.numbers().len() as u32;
        let run = Run { e: dinput, ..run };
        let params = run.params(encoder, recorder, &(0..count), 1);
        recorder.dispatch(&Dispatch {
            kernel: &INPUT_GRADIENT,
            flags: args.mode.flags(),
            params: bytemuck::bytes_of(&params),
            knobs: &[],
            storage: &[records, plan, numbers, slopes, dinput],
            groups: rows.div_ceil(64).into(),
            iterations: 32 * u64::from(count),
        })?;
        harmonics::add_gradient(encoder, recorder, &run.records, [de, dinput])?;
    }
    Ok(())
}

/// Of a degree, in radians.
const RADIAN: f32 = 0.017_453_292;
/// 2π · 2⁻³².
const TURNS_TO_RADIANS: f32 = 1.462_918_1e-9;
const HALF_ROOT_3: f32 = 0.866_025_4;
/// Scale of the map, 66.50336/180.
const MAP_SCALE: f32 = 0.369_463_1;

/// `∂(number · 2⁻⁶⁴)/∂(lat°, lon°, days, gsd m)` of a number that the record tells; twin of `slopes_of` in
/// `shaders/encode/input_gradient.wgsl`.
pub(super) fn slopes(source: Source, sample: &Sample) -> [f32; 4] {
    let unit = 2f32.powi(source.bits() as i32 - 64);
    let place = |slopes: [f32; 2]| {
        let [by_lat, by_lon] = slopes.map(|slope| unit * RADIAN * slope);
        [by_lat, by_lon, 0.0, 0.0]
    };
    match source {
        Source::LatDeg => [unit, 0.0, 0.0, 0.0],
        Source::LonDeg => [0.0, unit, 0.0, 0.0],
        Source::LatTurns => [1.0 / 360.0, 0.0, 0.0, 0.0],
        Source::LonTurns => [0.0, 1.0 / 360.0, 0.0, 0.0],
        Source::UnitX | Source::UnitY | Source::UnitZ => place(unit_slopes(source, sample)),
        Source::EqualEarthX | Source::EqualEarthY => place(map_slopes(source, sample)),
        Source::SeasonTurns | Source::YearsSince2015 => [0.0, 0.0, unit * years_a_day(sample), 0.0],
        Source::DayTurns => [0.0, 0.0, 1.0, 0.0],
        Source::LocalSecond => [0.0, 0.0, unit * 86_400.0, 0.0],
        Source::GsdM => [0.0, 0.0, 0.0, unit],
        Source::Octaves => {
            let metres = f32_from_i64(sample.wide(Field::Gsd) as i64, 32);
            [0.0, 0.0, 0.0, unit / (std::f32::consts::LN_2 * metres)]
        }
        _ => [0.0; 4],
    }
}

fn swing_of(field: Field, sample: &Sample) -> [f32; 2] {
    sincos_turns(turns_from_degrees(sample.wide(field) as i64))
}

fn unit_slopes(source: Source, sample: &Sample) -> [f32; 2] {
    let ([up, out], [east, along]) = (swing_of(Field::Lat, sample), swing_of(Field::Lon, sample));
    match source {
        Source::UnitX => [-up * along, -out * east],
        Source::UnitY => [-up * east, out * along],
        _ => [out, 0.0],
    }
}

fn map_slopes(source: Source, sample: &Sample) -> [f32; 2] {
    let [up, out] = swing_of(Field::Lat, sample);
    let lon = RADIAN * f32_from_i64(sample.wide(Field::Lon) as i64, 40);
    let (sine, cosine) = (HALF_ROOT_3 * up, out.mul_add(out, 0.25 * up * up).sqrt());
    let turns = polar((cosine * 1_073_741_824.0) as i32, (sine * 1_073_741_824.0) as i32).turns;
    let theta = TURNS_TO_RADIANS * turns as i32 as f32;
    let square = theta * theta;
    let fourth = square * square;
    let slope = 1.340_264 + square * (-0.243_318 + fourth * (0.006_251 + 0.034_164 * square));
    let bend = theta * (-0.486_636 + fourth * (0.037_506 + 0.273_312 * square));
    if source == Source::EqualEarthY {
        return [MAP_SCALE * HALF_ROOT_3 * slope * out / cosine, 0.0];
    }
    let by_lat = -lon * out * (sine + cosine * bend / slope) / (slope * cosine);
    [by_lat, cosine / (HALF_ROOT_3 * slope)].map(|slope| MAP_SCALE * slope)
}

fn years_a_day(sample: &Sample) -> f32 {
    let year = year_phase(&sample.time).map(|phase| phase.year);
    let days = year.map_or(365, days_in_year);
    derived_day_of_year(&sample.time).map_or(0.0, |_| 1.0 / days as f32)
}
