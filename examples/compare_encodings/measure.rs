//! What is measured of a scheme, on what the kernels give.

use crate::at::{At, noons, places};
use crate::schemes::{Kind, Scheme, normal};
use gtca::encode::{Encoder, Plan};
use gtca::gpu::Gpu;
use gtca::records::{Record, Records};
use jiff::civil::date;

/// What a learned missing vector holds here, so that it is known again.
const MISSING: f32 = 7.0;
/// Degrees of longitude of a step, and latitudes where it is made.
const STEP: f64 = 0.1;
const LATITUDES: [f64; 5] = [-60.0, -23.5, 0.0, 45.0, 75.0];

/// A scheme on the device.
pub struct Runner<'a> {
    gpu: &'a Gpu,
    scheme: &'a Scheme,
    encoder: Encoder,
    arena: Vec<f32>,
}

/// Rows of features.
pub struct Rows {
    e: Vec<f32>,
    width: usize,
    columns: std::ops::Range<usize>,
}

impl Rows {
    pub fn iter(&self) -> impl Iterator<Item = &[f32]> {
        self.e.chunks_exact(self.width).map(|row| &row[self.columns.clone()])
    }

    fn row(&self, index: usize) -> &[f32] {
        &self.e[index * self.width..][..self.width][self.columns.clone()]
    }
}

/// Places: nothing should jump where the sphere does not.
pub struct Place {
    /// The step across ±180° in steps of the same length elsewhere, at the worst latitude. 1 is ideal.
    pub seam: f64,
    /// The mean cosine similarity of both ends of a step elsewhere, and across ±180°.
    pub similar: [f64; 2],
    /// The largest difference between 180° and −180°. 0 is ideal.
    pub one_meridian: f64,
    /// The largest distance between two codes of one pole, by their length. 0 is ideal.
    pub poles: f64,
}

/// Seasons: nothing should jump where the calendar does.
pub struct Season {
    /// After how many days the code changes, in the mean.
    pub every: f64,
    /// The step from 31 December to 1 January in mean steps, after a common and after a leap year. 1 is ideal, for a code
    /// of months or weeks also 0.
    pub new_year: [f64; 2],
    /// Whether 29 February differs from both its neighbours.
    pub leap_day: bool,
    /// Whether day 366 has a code, and another than day 365.
    pub day_366: bool,
    /// The largest distance between a common and a leap year of which the same fraction has passed, in mean steps.
    /// 0 is ideal.
    pub drift: f64,
}

pub struct Measured {
    pub place: Option<Place>,
    pub season: Option<Season>,
    /// The largest error against the f64 formula.
    pub error: f64,
    /// What comes out where nothing is known.
    pub missing: String,
}

/// The mean of the steps that are steps at all.
fn mean_step(steps: impl Iterator<Item = f64>) -> (f64, usize) {
    let real: Vec<_> = steps.filter(|step| *step > 1e-6).collect();
    (real.iter().sum::<f64>() / real.len() as f64, real.len())
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product: f64 = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
    let zeros = vec![0.0; a.len()];
    product / (distance(a, &zeros) * distance(b, &zeros))
}

pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

impl<'a> Runner<'a> {
    pub fn new(gpu: &'a Gpu, scheme: &'a Scheme) -> Result<Self, gtca::Error> {
        let plan = Plan::new(&scheme.blocks)?;
        let mut arena = plan.initial_arena();
        for layout in plan.layouts() {
            let [missing, table] =
                [&layout.missing, &layout.table].map(|range| range.start as usize..range.end as usize);
            arena[missing].fill(MISSING);
            arena[table.clone()].copy_from_slice(&normal(table.len(), 2));
        }
        Ok(Self { gpu, scheme, encoder: Encoder::new(gpu, plan), arena })
    }

    pub fn encode(&self, records: &[Record]) -> Result<Rows, gtca::Error> {
        let records = Records::from_records(records)?;
        let e = pollster::block_on(self.encoder.encode(self.gpu, &records, &self.arena))?;
        Ok(Rows { e, width: self.encoder.plan().width() as usize, columns: self.scheme.columns.clone() })
    }

    fn encode_at(&self, at: &[At]) -> Result<Rows, gtca::Error> {
        self.encode(&at.iter().map(At::record).collect::<Vec<_>>())
    }

    /// Everything, from `count` places or times for the error.
    pub fn measure(&self, count: u32) -> Result<Measured, gtca::Error> {
        let kind = self.scheme.kind;
        Ok(Measured {
            place: if kind == Kind::Place { Some(self.place()?) } else { None },
            season: if kind == Kind::Season { Some(self.season()?) } else { None },
            error: self.error(count)?,
            missing: self.missing()?,
        })
    }

    fn place(&self) -> Result<Place, gtca::Error> {
        const INSIDE: usize = 40;
        let mut place = Place { seam: 0.0, similar: [0.0; 2], one_meridian: 0.0, poles: 0.0 };
        for lat in LATITUDES {
            let inside = (0..INSIDE).map(|k| -176.03 + 8.81 * k as f64);
            let pairs = inside.flat_map(|lon| [lon - STEP / 2.0, lon + STEP / 2.0]);
            let all = pairs.chain([180.0 - STEP / 2.0, STEP / 2.0 - 180.0, 180.0, -180.0]);
            let e = self.encode_at(&all.map(|lon| At::place(lat, lon)).collect::<Vec<_>>())?;
            let ends = |pair: usize| (e.row(2 * pair), e.row(2 * pair + 1));
            let step = |pair: usize| distance(ends(pair).0, ends(pair).1);
            let similar = |pair: usize| cosine(ends(pair).0, ends(pair).1) / LATITUDES.len() as f64;
            place.seam = place.seam.max(step(INSIDE) / mean_step((0..INSIDE).map(step)).0);
            place.similar[0] += (0..INSIDE).map(similar).sum::<f64>() / INSIDE as f64;
            place.similar[1] += similar(INSIDE);
            let [east, west] = [e.row(2 * INSIDE + 2), e.row(2 * INSIDE + 3)];
            let apart = east.iter().zip(west).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
            place.one_meridian = place.one_meridian.max(apart);
        }
        for pole in [-90.0, 90.0] {
            let all: Vec<_> = (0..36).map(|k| At::place(pole, 10.0 * f64::from(k) - 180.0)).collect();
            let e = self.encode_at(&all)?;
            let length = distance(e.row(0), &vec![0.0; self.scheme.columns.len()]);
            let pairs = (0..36).flat_map(|a| (0..a).map(move |b| (a, b)));
            let widest = pairs.map(|(a, b)| distance(e.row(a), e.row(b))).fold(0.0, f64::max);
            place.poles = place.poles.max(widest / length);
        }
        Ok(place)
    }

    fn season(&self) -> Result<Season, gtca::Error> {
        let days: Vec<_> = noons(2023..=2025).collect();
        let e = self.encode_at(&days)?;
        let index = |day| days.iter().position(|at| at.date == day).unwrap_or(0);
        // From the day before.
        let step = |day| distance(e.row(index(day) - 1), e.row(index(day)));
        let (typical, changes) = mean_step((1..days.len()).map(|day| distance(e.row(day - 1), e.row(day))));
        let other = |day| step(day) > 1e-6;
        let last = e.row(index(date(2024, 12, 31)));
        let fractions = (0..400).map(|k| (f64::from(k) + 0.5) / 400.0);
        let [common, leap] = [2023, 2024].map(|year| {
            let of_year: Vec<_> = fractions.clone().map(|fraction| At::fraction(year, fraction)).collect();
            self.encode_at(&of_year)
        });
        let (common, leap) = (common?, leap?);
        let drift = common.iter().zip(leap.iter()).map(|(a, b)| distance(a, b)).fold(0.0, f64::max);
        Ok(Season {
            every: (days.len() - 1) as f64 / changes as f64,
            new_year: [date(2024, 1, 1), date(2025, 1, 1)].map(|day| step(day) / typical),
            leap_day: other(date(2024, 2, 29)) && other(date(2024, 3, 1)),
            day_366: other(date(2024, 12, 31)) && last.iter().any(|x| *x != 0.0 && *x != MISSING),
            drift: drift / typical,
        })
    }

    /// Over places, or over times of more than a decade at all hours.
    fn error(&self, count: u32) -> Result<f64, gtca::Error> {
        let all: Vec<At> = match self.scheme.kind {
            Kind::Place => places(count),
            Kind::Season | Kind::Other => {
                let days: Vec<_> = noons(2016..=2028).collect();
                let some = days.iter().step_by(days.len().div_ceil(count as usize)).zip(0..);
                some.map(|(at, k)| At { second: k * 40_503 % 86_400, ..*at }).collect()
            }
        };
        let e = self.encode_at(&all)?;
        let worst = |(at, row): (&At, &[f32])| {
            let exact = (self.scheme.exact)(at, &self.arena);
            assert_eq!(exact.len(), row.len(), "{}: the formula has another width", self.scheme.name);
            exact.iter().zip(row).map(|(x, y)| (x - f64::from(*y)).abs()).fold(0.0, f64::max)
        };
        Ok(all.iter().zip(e.iter()).map(worst).fold(0.0, f64::max))
    }

    fn missing(&self) -> Result<String, gtca::Error> {
        let at = At::place(47.5, 8.5);
        let e = self.encode(&[Record::new(), at.without_lon(), at.record()])?;
        let is = |row: &[f32], value: f32| row.iter().all(|x| *x == value);
        let mut rule = if is(e.row(0), 0.0) {
            "zeros".to_owned()
        } else if is(e.row(0), MISSING) {
            "learned vector".to_owned()
        } else {
            "something else".to_owned()
        };
        let [without, known] = [e.row(1), e.row(2)];
        let partly = without != e.row(0) && without.iter().zip(known).any(|(a, b)| a == b);
        if self.scheme.kind == Kind::Place && partly {
            rule += ", by coordinate";
        }
        let validity = self.encoder.plan().layouts()[0].validity;
        let of_validity = |at: u32| e.e[at as usize] == 0.0 && e.e[2 * e.width + at as usize] == 1.0;
        if validity.is_some_and(of_validity) {
            rule += ", validity 0";
        }
        Ok(rule)
    }
}
