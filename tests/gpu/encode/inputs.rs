//! Gradients of place, time and ground sample distance, against central differences of the features in f64.

use super::*;
use gtca::encode::{Fourier, GeoTime, InputGradient, Order, Prithvi, Scale, Source, Wave, Waves, twin};
use std::f64::consts::TAU;

/// Frequencies in turns a unit, and an offset in turns.
type Phase = (Vec<(Source, f64)>, f64);

enum Feature {
    Ladder(Order, f64, Vec<Phase>),
    Product(f64, Vec<Phase>),
    Linear(Source, f64, f64),
    /// Spherical harmonics to this degree.
    Harmonics(u32),
}
use Feature::{Harmonics, Ladder, Linear, Product};

fn one(source: Source, frequency: f64) -> Phase {
    (vec![(source, frequency)], 0.0)
}

fn cos((terms, offset): Phase) -> Phase {
    (terms, offset + 0.25)
}

fn split(source: Source, frequencies: impl IntoIterator<Item = f64>) -> Feature {
    Ladder(Order::Split, 1.0, frequencies.into_iter().map(|f| one(source, f)).collect())
}

fn wave((terms, offset): &Phase) -> Wave {
    let first = Wave::new(terms[0].0, terms[0].1).offset(*offset);
    terms[1..].iter().fold(first, |wave, (source, frequency)| wave.plus(*source, *frequency))
}

fn waves(features: &[Feature]) -> Waves {
    features.iter().fold(Waves::new(), |waves, feature| match feature {
        Ladder(order, amplitude, phases) => waves.ladder(*order, *amplitude as f32, phases.iter().map(wave)),
        Product(amplitude, phases) => waves.product(*amplitude as f32, phases.iter().map(wave)),
        Linear(source, scale, bias) => waves.linear(*source, *scale, *bias),
        Harmonics(_) => unreachable!("they are no waves"),
    })
}

/// A block, what it consists of, and whether it misses single columns.
struct Part {
    block: Block,
    features: Vec<Feature>,
    by_column: bool,
}

fn part(block: Block, features: Vec<Feature>) -> Part {
    Part { block, features, by_column: false }
}

/// Inputs moved from a record: latitude and longitude in degrees, time in days, ground sample distance in metres.
struct Moved<'a> {
    record: &'a Record,
    by: [f64; 4],
    given: [f64; 2],
}

impl Moved<'_> {
    fn place(&self) -> Option<[f64; 2]> {
        let place = self.record.lat_deg.zip(self.record.lon_deg);
        place.map(|(lat, lon)| [lat + self.by[0], lon + self.by[1]])
    }

    /// A number in its natural unit.
    fn number(&self, source: Source) -> Option<f64> {
        let [lat_by, lon_by, days, gsd_by] = self.by;
        let record = self.record;
        let has_day = record.month.is_some() && record.day.is_some() || record.day_of_year.is_some();
        let years = |year: Option<i32>| if has_day { days / reference::year_length(year) } else { 0.0 };
        let second = record.second_of_day.map(|second| second + record.utc_offset_s.unwrap_or(0));
        let turned = |place: [f64; 2]| place.map(|angle| angle.to_radians().sin_cos());
        match source {
            Source::LatDeg => record.lat_deg.map(|lat| lat + lat_by),
            Source::LonDeg => record.lon_deg.map(|lon| lon + lon_by),
            Source::LatTurns => record.lat_deg.map(|lat| (lat + lat_by) / 360.0),
            Source::LonTurns => record.lon_deg.map(|lon| (lon + lon_by) / 360.0),
            Source::UnitX => self.place().map(turned).map(|[lat, lon]| lat.1 * lon.1),
            Source::UnitY => self.place().map(turned).map(|[lat, lon]| lat.1 * lon.0),
            Source::UnitZ => self.place().map(turned).map(|[lat, _]| lat.0),
            Source::EqualEarthX => self.place().map(|place| equal_earth(place)[0]),
            Source::EqualEarthY => self.place().map(|place| equal_earth(place)[1]),
            Source::SeasonTurns => reference::season(record).map(|(year, turns)| turns + years(year)),
            Source::YearsSince2015 => {
                let local = reference::season(record).and_then(|(year, _)| year);
                reference::decimal_year(record).map(|year| year - 2015.0 + years(local))
            }
            Source::DayTurns => second.map(|second| f64::from(second) / 86_400.0 + days),
            Source::LocalSecond => {
                second.map(|second| f64::from(second.rem_euclid(86_400)) + days * 86_400.0)
            }
            Source::Hour => second.and(record.second_of_day).map(|s| s / 3600).or(record.hour).map(f64::from),
            Source::GsdM => record.gsd_m.map(|gsd| gsd + gsd_by),
            Source::Octaves => record.gsd_m.map(|gsd| ((gsd + gsd_by) / 10.0).log2()),
            Source::Given(column) => Some(self.given[column as usize]),
            _ => unreachable!("{source:?} has no reference"),
        }
    }

    fn sine(&self, (terms, offset): &Phase) -> Option<f64> {
        let turns = terms.iter().try_fold(*offset, |sum, (source, f)| Some(sum + f * self.number(*source)?));
        turns.map(|turns| (TAU * turns).sin())
    }

    /// The columns of a feature; 0 for one that is not known.
    fn columns(&self, feature: &Feature) -> Vec<f64> {
        let sine = |phase: &Phase| self.sine(phase);
        match feature {
            Ladder(order, amplitude, phases) => {
                let sines: Vec<_> = phases.iter().map(|p| amplitude * sine(p).unwrap_or(0.0)).collect();
                let cosines: Vec<_> =
                    phases.iter().map(|p| amplitude * sine(&cos(p.clone())).unwrap_or(0.0)).collect();
                match order {
                    Order::Split => [sines, cosines].concat(),
                    Order::CosFirst => [cosines, sines].concat(),
                    _ => sines.into_iter().zip(cosines).flat_map(|(s, c)| [s, c]).collect(),
                }
            }
            Product(amplitude, phases) => {
                vec![phases.iter().map(sine).product::<Option<f64>>().map_or(0.0, |p| amplitude * p)]
            }
            Linear(source, scale, bias) => vec![self.number(*source).map_or(0.0, |x| scale * x + bias)],
            Harmonics(degree) => {
                self.place().map_or(vec![0.0; (*degree as usize + 1).pow(2)], |[lat, lon]| {
                    reference::harmonics_of_place(lat, lon, *degree)
                })
            }
        }
    }
}

/// The Equal Earth map as Šavrič, Patterson and Jenny (2018) state it, in GeoCLIP's scale.
fn equal_earth([lat, lon]: [f64; 2]) -> [f64; 2] {
    let [a1, a2, a3, a4] = [1.340_264, -0.081_106, 0.000_893, 0.003_796];
    let theta = (3f64.sqrt() / 2.0 * lat.to_radians().sin()).asin();
    let stretch = 9.0 * a4 * theta.powi(8) + 7.0 * a3 * theta.powi(6) + 3.0 * a2 * theta.powi(2) + a1;
    let x = 2.0 * 3f64.sqrt() * lon.to_radians() * theta.cos() / (3.0 * stretch);
    let y = a4 * theta.powi(9) + a3 * theta.powi(7) + a2 * theta.powi(3) + a1 * theta;
    [x, y].map(|value| value * 66.503_36 / 180.0)
}

impl Feature {
    fn sources(&self) -> Vec<Source> {
        let of = |phases: &[Phase]| phases.iter().flat_map(|(terms, _)| terms.iter().map(|t| t.0)).collect();
        match self {
            Ladder(_, _, phases) | Product(_, phases) => of(phases),
            Linear(source, ..) => vec![*source],
            Harmonics(_) => vec![Source::LatDeg, Source::LonDeg],
        }
    }

    /// Of every column: how far it may move with its numbers, as (number, slope), the factors of a product at most 1.
    fn slopes(&self) -> Vec<Vec<(Source, f64)>> {
        let of = |amplitude: f64, (terms, _): &Phase| -> Vec<(Source, f64)> {
            terms.iter().map(|(source, f)| (*source, (TAU * f * amplitude).abs())).collect()
        };
        match self {
            Ladder(order, amplitude, phases) => {
                let slopes: Vec<_> = phases.iter().map(|phase| of(*amplitude, phase)).collect();
                match order {
                    Order::Interleaved => slopes.into_iter().flat_map(|s| [s.clone(), s]).collect(),
                    _ => [slopes.clone(), slopes].concat(),
                }
            }
            Product(amplitude, phases) => vec![phases.iter().flat_map(|p| of(*amplitude, p)).collect()],
            Linear(source, scale, _) => vec![vec![(*source, scale.abs())]],
            Harmonics(degree) => (0..=*degree)
                .flat_map(|l| {
                    let slope = f64::from(l * (l + 1)).to_radians();
                    vec![vec![(Source::LatDeg, slope), (Source::LonDeg, slope)]; 2 * l as usize + 1]
                })
                .collect(),
        }
    }
}

/// Whether a part of a record is encoded at all.
fn is_encoded(part: &Part, at: &Moved<'_>) -> bool {
    let known = |source| at.number(source).is_some();
    part.by_column || part.features.iter().flat_map(Feature::sources).all(known)
}

/// A plan with its parts, and records.
struct Case {
    parts: Vec<Part>,
    batch: Batch,
    given: Vec<f32>,
}

impl Case {
    fn new(parts: Vec<Part>, records: &[Record]) -> Self {
        let blocks: Vec<_> = parts.iter().map(|part| part.block.clone()).collect();
        let batch = Batch::of(Plan::new(&blocks).unwrap(), records);
        let given = Random(5).f32s(2 * records.len());
        Self { parts, batch, given }
    }

    fn gradient(&self, gpu: &'static Gpu, layout: Layout, before: Option<&[f32]>) -> Vec<f32> {
        input_gradient(&self.batch, &self.given, gpu, layout, before)
    }

    fn moved<'a>(&self, i: usize, record: &'a Record, by: [f64; 4]) -> Moved<'a> {
        Moved { record, by, given: [self.given[2 * i], self.given[2 * i + 1]].map(f64::from) }
    }

    /// The gradient by central differences, and how far the kernel may be from it where a column errs by `share` of the
    /// steepest slope that it can have.
    fn differences(&self, share: f64) -> (Vec<f64>, Vec<f64>) {
        const H: f64 = 1e-5;
        let width = self.batch.plan.width() as usize;
        let (mut gradient, mut bounds) = (Vec::new(), Vec::new());
        for i in 0..self.batch.records.len() {
            let record = self.batch.records.get(i);
            let here = self.moved(i, &record, [0.0; 4]);
            let live: Vec<_> = self.parts.iter().map(|part| is_encoded(part, &here)).collect();
            let with_de = || {
                let layouts = self.batch.plan.layouts().iter();
                self.parts.iter().zip(layouts).zip(&live).filter(|(_, live)| **live).map(
                    |((part, layout), _)| {
                        (
                            part,
                            &self.batch.de[i * width..]
                                [layout.features.start as usize..layout.features.end as usize],
                        )
                    },
                )
            };
            let objective = |by: &[f64]| -> f64 {
                let at = self.moved(i, &record, [by[0], by[1], by[2], by[3]]);
                let columns =
                    |part: &Part| part.features.iter().flat_map(|f| at.columns(f)).collect::<Vec<_>>();
                let dot = |(part, de): (&Part, &[f32])| {
                    columns(part).iter().zip(de).map(|(e, &de)| e * f64::from(de)).sum::<f64>()
                };
                with_de().map(dot).sum()
            };
            gradient.extend(central_differences(&[0.0; 4], H, objective));
            for input in 0..4 {
                let mut by = [0.0; 4];
                by[input] = H;
                let forth = self.moved(i, &record, by);
                by[input] = -H;
                let back = self.moved(i, &record, by);
                let mut bound = 1e-8;
                for (part, de) in with_de() {
                    let columns = part.features.iter().flat_map(Feature::slopes);
                    for (slopes, de) in columns.zip(de) {
                        for (source, slope) in slopes {
                            let [forth, back] = [&forth, &back].map(|at| at.number(source).unwrap_or(0.0));
                            let is_map = Source::EqualEarthX <= source && source <= Source::UnitZ;
                            // What a factor on the sphere or the map errs by, it errs by near 0 too.
                            let curved = if is_map && input < 2 { 1f64.to_radians() } else { 0.0 };
                            let by_input = ((forth - back) / (2.0 * H)).abs() + curved;
                            bound += f64::from(de.abs()) * slope * by_input * share;
                        }
                    }
                }
                bounds.push(bound);
            }
        }
        (gradient, bounds)
    }
}

/// The kernel's gradient, added to `before` where that is given.
pub fn input_gradient(
    batch: &Batch,
    given: &[f32],
    gpu: &'static Gpu,
    layout: Layout,
    before: Option<&[f32]>,
) -> Vec<f32> {
    let samples = batch.records.len() as u32;
    let mut t = Tensors::new(gpu, layout);
    let records = t.u32([RECORD_WORDS, 1, samples], batch.records.words());
    let arena = t.f32([1, 1, batch.plan.arena_len()], &batch.arena);
    let numbers = t.f32([samples, 1, 2], given);
    let de = t.f32([samples, 1, batch.plan.width()], &batch.de);
    let dinput = match before {
        Some(before) => t.f32([samples, 1, 4], before),
        None => t.poisoned([samples, 1, 4]),
    };
    let args = InputGradient {
        records: t.view(records),
        arena: t.view(arena),
        given: Some(t.view(numbers)),
        de: t.view(de),
        dinput: t.view(dinput),
        mode: if before.is_some() { Mode::Accumulate } else { Mode::Overwrite },
    };
    let encoder = Encoder::new(gpu, batch.plan.clone());
    t.run(|recorder| encoder.input_gradient(recorder, &args)).unwrap();
    t.read(dinput)
}

/// Blocks of ours as their documentation states them, and Clay's, which misses single columns.
fn ours() -> Vec<Part> {
    let whole = |n: u32| (1..=n).map(f64::from);
    // Of the decimal year itself.
    let of_year = |period: f64| (vec![(Source::YearsSince2015, 1.0 / period)], 2015.0 / period);
    let year = || {
        vec![
            Linear(Source::YearsSince2015, 0.1, 0.0),
            Ladder(Order::Split, 1.0, [4.0, 16.0, 64.0].map(of_year).into()),
        ]
    };
    let pair = |source, period: f64| Ladder(Order::Interleaved, 1.0, vec![one(source, 1.0 / period)]);
    let lat_lon = vec![pair(Source::LatDeg, 360.0), pair(Source::LonDeg, 360.0), pair(Source::Hour, 24.0)];
    let by_column =
        Block::Waves { name: "by_column", waves: waves(&lat_lon).zero_by_column(), validity: true };
    vec![
        part(Block::Place { degree: 3 }, vec![Harmonics(3)]),
        part(Block::Season, vec![split(Source::SeasonTurns, whole(8))]),
        part(Block::Day, vec![split(Source::DayTurns, whole(4))]),
        part(Block::Year, year()),
        part(
            Block::Gsd,
            vec![Linear(Source::Octaves, 1.0, 0.0), split(Source::Octaves, [1.0, 0.5, 0.25, 0.125])],
        ),
        Part { block: by_column, features: lat_lon, by_column: true },
        part(Block::Id { field: Field::Tile, rows: 2, width: 2 }, vec![]),
    ]
}

fn custom(features: Vec<Feature>) -> Part {
    part(Block::Waves { name: "custom", waves: waves(&features), validity: false }, features)
}

/// Every kind of ladder and column, every smooth number, learned scales.
fn others() -> Vec<Part> {
    let two = |f: f64| (vec![(Source::LatDeg, 0.4 - f), (Source::LonDeg, f)], f / 3.0);
    let sphere = [Source::UnitX, Source::UnitY, Source::UnitZ];
    let map = [Source::EqualEarthX, Source::EqualEarthY];
    let scale = Scale::Learned(0.1);
    let sinusoid = |source| split(source, (0..4).map(|i| 1e4f64.powf(-f64::from(i) / 4.0) / TAU));
    let b: Vec<[f32; 2]> = (0..5).map(|k| [k as f32 - 2.0, 0.5 + k as f32]).collect();
    let gaussian = b.iter().map(|row| (vec![(map[0], f64::from(row[0])), (map[1], f64::from(row[1]))], 0.0));
    vec![
        custom(vec![
            split(Source::LonTurns, [3.0, 17.0, -5.0]),
            split(Source::LatTurns, [1.0, 2.0, 40.0]),
            Ladder(Order::CosFirst, 0.5, (0..9).map(|k| two(f64::from(k) * 0.3)).collect()),
            Product(1.5, vec![two(0.1), cos(one(Source::LonDeg, 0.7))]),
            Product(-2.0, vec![one(Source::LatDeg, 0.9), one(Source::Given(1), 0.3)]),
            Linear(Source::LonDeg, -0.2, 3.0),
        ]),
        custom(vec![
            Product(1.0, vec![one(Source::SeasonTurns, 2.0), one(Source::DayTurns, 3.0)]),
            Product(1.0, vec![cos(one(Source::YearsSince2015, 0.7))]),
            Linear(Source::LocalSecond, 1.0 / 86_400.0, -0.5),
            split(Source::LocalSecond, [2.0 / 86_400.0]),
        ]),
        custom(vec![split(Source::GsdM, [0.3, 0.01]), Linear(Source::GsdM, 0.5, 0.0)]),
        custom(sphere.map(|source| split(source, [0.5, 1.0, 8.0])).into_iter().collect()),
        custom(
            map.map(|source| Ladder(Order::Interleaved, 1.0, vec![one(source, 9.0)])).into_iter().collect(),
        ),
        part(
            Block::Prithvi { encoding: Prithvi::Location { width: 16, scale }, validity: true },
            vec![sinusoid(Source::LatDeg), sinusoid(Source::LonDeg)],
        ),
        part(
            Block::Fourier { features: Fourier::Gaussian(b.clone()), of: map, validity: false },
            vec![Ladder(Order::CosFirst, 1.0, gaussian.collect())],
        ),
        geotime(),
    ]
}

/// Phases of up to five numbers.
fn geotime() -> Part {
    let phases = vec![
        GeoTime { place: [0.5, -1.25, 2.0], season: 2, day: -1 },
        GeoTime { place: [3.0, 0.0, 0.25], season: -1, day: 0 },
    ];
    let numbers = [Source::UnitX, Source::UnitY, Source::UnitZ, Source::SeasonTurns, Source::DayTurns];
    let terms = |phase: &GeoTime| {
        let [x, y, z] = phase.place.map(f64::from);
        let turns = [x, y, z, phase.season.into(), phase.day.into()];
        (numbers.into_iter().zip(turns).filter(|(_, turns)| *turns != 0.0).collect(), 0.0)
    };
    let cosines = phases.iter().map(|phase| Product(1.0, vec![cos(terms(phase))]));
    let features = cosines.chain(phases.iter().map(|phase| Product(1.0, vec![terms(phase)]))).collect();
    Part { block: Block::GeoTime { phases, validity: true }, features, by_column: true }
}

/// [`others`] with the learned scale of the batch as the amplitude.
fn others_of(records: &[Record]) -> Case {
    let mut case = Case::new(others(), records);
    let layout = case.batch.plan.layouts().iter().position(|layout| !layout.scale.is_empty()).unwrap();
    let scale = case.batch.arena[case.batch.plan.layouts()[layout].scale.start as usize];
    for feature in &mut case.parts[layout].features {
        if let Ladder(_, amplitude, _) = feature {
            *amplitude = scale.into();
        }
    }
    case
}

/// Whole records and ragged ones; footprints from 0.3 m on.
fn ragged(samples: usize, seed: u64) -> Vec<Record> {
    let mut random = Random(seed);
    let cut = |(i, record): (usize, &Record)| {
        let record = record.gsd_m(record.gsd_m.unwrap().max(0.3));
        let mask = if i % 3 == 0 { 0xfff } else { random.below(1 << 12) as usize };
        with_subset(&record, mask)
    };
    records(samples, seed).iter().enumerate().map(cut).collect()
}

#[test]
fn gradients_of_inputs_match_central_differences_and_the_twin() {
    let Some(gpu) = gpu() else { return };
    for (i, samples) in [1, 3, 63, 64, 65, 130, 257].into_iter().enumerate() {
        let records = ragged(samples, i as u64 + 1);
        for case in [Case::new(ours(), &records), others_of(&records)] {
            let batch = &case.batch;
            let gradient = case.gradient(gpu, LAYOUTS[i % 2], None);
            // The sum over a hundred columns is rounded as well.
            let (expected, bounds) = case.differences(6e-7);
            assert_close("against f64", &gradient, &expected, &bounds);
            let twin =
                twin::input_gradient(&batch.plan, &batch.records, &batch.arena, &case.given, &batch.de);
            assert_close("against the twin", &gradient, &wide(&twin), &bounds);
            for layout in LAYOUTS {
                assert_same_bits("repeat", &gradient, &case.gradient(gpu, layout, None));
            }
            let added = case.gradient(gpu, LAYOUTS[i % 2], Some(&vec![1.0; gradient.len()]));
            let plus: Vec<f64> = gradient.iter().map(|value| f64::from(*value) + 1.0).collect();
            let bounds: Vec<f64> = bounds.iter().zip(&plus).map(|(b, p)| b + 1e-6 * p.abs()).collect();
            assert_close("added", &added, &plus, &bounds);
        }
    }
}

#[test]
fn the_slope_of_every_column_holds_its_bound() {
    let Some(gpu) = gpu() else { return };
    let mut case = others_of(&ragged(900, 4));
    let width = case.batch.plan.width() as usize;
    case.batch.de.fill(0.0);
    for i in 0..case.batch.records.len() {
        // One column a record.
        case.batch.de[i * width + i % width] = 1.0;
    }
    // As the documentation of `input_gradient` says.
    let (expected, bounds) = case.differences(3e-7);
    assert_close("dinput", &case.gradient(gpu, Layout::Separate, None), &expected, &bounds);
}

#[test]
fn records_cut_to_fit_a_binding_leave_no_trace() {
    let Some(gpu) = gpu() else { return };
    let case = Case::new(others(), &ragged(1300, 12));
    let whole = case.gradient(gpu, Layout::OneBuffer, None);
    assert_same_bits("dinput", &whole, &case.gradient(small_gpu(), Layout::OneBuffer, None));
}

#[test]
fn a_record_alone_has_the_same_gradient() {
    let Some(gpu) = gpu() else { return };
    let all = ragged(100, 9);
    for parts in [ours, others] {
        let case = Case::new(parts(), &all);
        let gradient = case.gradient(gpu, Layout::Separate, None);
        let width = case.batch.plan.width() as usize;
        for i in [0, 31, 64, 99] {
            let mut alone = Case::new(parts(), &all[i..=i]);
            alone.batch.arena.clone_from(&case.batch.arena);
            alone.batch.de = case.batch.de[i * width..][..width].to_vec();
            alone.given = case.given[2 * i..][..2].to_vec();
            let row = alone.gradient(gpu, Layout::OneBuffer, None);
            assert_same_bits("row", &row, &gradient[4 * i..][..4]);
        }
    }
}

#[test]
fn an_input_that_is_missing_or_steps_has_the_gradient_0() {
    let Some(gpu) = gpu() else { return };
    let whole = Record::new().lat_deg(40.0).lon_deg(-70.0).gsd_m(10.0).date(2024, 5, 17).second_of_day(4000);
    let (mut without_day, mut without_lat) = (whole, whole);
    (without_day.day, without_lat.lat_deg) = (None, None);
    let records = [whole, Record::new(), without_lat, without_day];
    let gradient = Case::new(ours(), &records).gradient(gpu, Layout::Separate, None);
    let rows: Vec<_> = gradient.chunks_exact(4).collect();
    assert!(rows[0].iter().all(|value| *value != 0.0), "{:?}", rows[0]);
    assert_same_bits("nothing known", rows[1], &[0.0; 4]);
    assert_same_bits("no latitude", &rows[2][..1], &[0.0]);
    assert!(rows[2][1..].iter().all(|value| *value != 0.0), "{:?}", rows[2]);
    // Only the hour of the day still moves.
    let day = Case::new(vec![part(Block::Season, vec![]), part(Block::Year, vec![])], &records[3..4]);
    assert_same_bits("a month alone", &day.gradient(gpu, Layout::Separate, None), &[0.0; 4]);
    let steps = Plan::new(&[Block::ClayScalars { validity: true }]).unwrap();
    let batch = Batch::of(steps, &[whole]);
    let clay = input_gradient(&batch, &[0.0; 2], gpu, Layout::OneBuffer, None);
    assert!(clay[0] != 0.0 && clay[1] != 0.0, "{clay:?}");
    assert_same_bits("week and hour", &clay[2..], &[0.0; 2]);
}

#[test]
fn impossible_fields_have_no_gradient() {
    let Some(gpu) = gpu() else { return };
    let mut case = Case::new(ours(), &records(2, 1));
    // Latitude 91 and month 13 in record 1, written past the host's checks.
    let mut words = case.batch.records.words().to_vec();
    let at = |field: Field| 2 * field.info().word as usize + 1;
    words[at(Field::Lat)] = 0;
    words[at(Field::Lat) + 2] = 91 << 8;
    words[at(Field::Month)] = 13;
    case.batch.records = Records::from_words(words).unwrap();
    let gradient = case.gradient(gpu, Layout::OneBuffer, None);
    assert_same_bits("latitude", &gradient[4..5], &[0.0]);
    let Batch { plan, records, arena, de } = &case.batch;
    let twin = twin::input_gradient(plan, records, arena, &case.given, de);
    assert_near("against the twin", &gradient, &wide(&twin), 1e-3);
}

#[test]
fn input_gradients_refuse_plans_of_tokens_or_in_which_nothing_moves_and_outputs_that_misfit() {
    let Some(gpu) = gpu() else { return };
    let id = Plan::new(&[Block::Id { field: Field::Tile, rows: 3, width: 4 }]).unwrap();
    let batch = Batch::of(id, &records(2, 1));
    let mut t = Tensors::new(gpu, Layout::OneBuffer);
    let records = t.u32([RECORD_WORDS, 1, 2], batch.records.words());
    let arena = t.f32([1, 1, batch.plan.arena_len()], &batch.arena);
    let de = t.f32([2, 1, batch.plan.width()], &batch.de);
    let dinput = t.poisoned([2, 1, 4]);
    let good = InputGradient {
        records: t.view(records),
        arena: t.view(arena),
        given: None,
        de: t.view(de),
        dinput: t.view(dinput),
        mode: Mode::Overwrite,
    };
    let refusal = |plan: &Plan, args: InputGradient<'_>| {
        let encoder = Encoder::new(gpu, plan.clone());
        t.run(|recorder| encoder.input_gradient(recorder, &args)).unwrap_err().to_string()
    };
    assert!(refusal(&batch.plan, good).contains("`dinput`"));
    let wave = Waves::new().ladder(Order::Split, 1.0, [1.0, 2.0].map(|f| Wave::new(Source::LatDeg, f)));
    let moving = Block::Waves { name: "moving", waves: wave, validity: true };
    let plan = Plan::new(std::slice::from_ref(&moving)).unwrap();
    let good = InputGradient { arena: t.view(arena).columns(0, 0), ..good };
    assert!(
        refusal(&plan, InputGradient { dinput: t.view(dinput).columns(0, 2), ..good }).contains("`dinput`")
    );
    assert!(refusal(&plan, InputGradient { dinput: t.view(de).columns(0, 4), ..good }).contains("overlap"));
    let row = Block::Table { name: "row", source: Source::Row, first: 0, rows: 2, width: 1, validity: false };
    assert!(refusal(&Plan::new(&[moving, row]).unwrap(), good).contains("of tokens"));
    let poisoned = t.read(dinput).iter().all(|value| value.to_bits() == POISON);
    assert!(poisoned, "nothing may have been recorded");
}
