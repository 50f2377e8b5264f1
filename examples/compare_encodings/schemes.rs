//! The schemes that are compared: blocks of the library beside formulas of their own.

use crate::at::{At, GSD_M, WAVELENGTH_UM};
use crate::exact;
use gtca::encode::{
    Block, Clay, Convention, Coordinate, Fourier, Galileo, Presto, Prithvi, Radii, SatClip, Scale, Source,
    Spatial, TerraMindCoordinate, Tessera,
};
use std::f64::consts::{PI, TAU};
use std::ops::Range;

/// What a scheme is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The antimeridian and the poles.
    Place,
    /// New Year and leap years.
    Season,
    /// Its error and what is missing alone.
    Other,
}

type Exact = Box<dyn Fn(&At, &[f32]) -> Vec<f64>>;

/// One scheme with the numbers that upstream uses, or smaller ones of the same kind.
pub struct Scheme {
    pub name: String,
    pub kind: Kind,
    pub blocks: Vec<Block>,
    /// The features that are looked at, validity columns left out.
    pub columns: Range<usize>,
    /// The same columns by plain f64 formulas, of the place or time and the learned parameters.
    pub exact: Exact,
    /// Golden groups that hold upstream's own f32 and f64 outputs: file, and how their names start.
    pub upstream: Option<(&'static str, &'static str)>,
    /// Whether a map of it is drawn without being asked for.
    pub drawn: bool,
}

impl Scheme {
    fn new(
        kind: Kind,
        name: &str,
        blocks: impl Into<Vec<Block>>,
        columns: Range<usize>,
        exact: Exact,
    ) -> Self {
        let blocks = blocks.into();
        let name = format!("{}: {name}", blocks[0].info().system);
        Self { name, kind, blocks, columns, exact, upstream: None, drawn: false }
    }

    fn upstream(self, file: &'static str, group: &'static str) -> Self {
        Self { upstream: Some((file, group)), ..self }
    }

    fn drawn(self) -> Self {
        Self { drawn: true, ..self }
    }

    fn called(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }
}

/// Normally distributed numbers, the same in every run.
pub fn normal(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f64 + 0.5) / f64::from(1u32 << 31)
    };
    (0..count).map(|_| ((-2.0 * uniform().ln()).sqrt() * (TAU * uniform()).cos()) as f32).collect()
}

fn directions(sigma: f32, count: usize) -> Vec<[f32; 2]> {
    normal(2 * count, 1).chunks_exact(2).map(|row| [row[0] * sigma, row[1] * sigma]).collect()
}

/// Every scheme, ours first.
pub fn all() -> Vec<Scheme> {
    [places(), spatial(), seasons(), others()].into_iter().flatten().collect()
}

fn places() -> Vec<Scheme> {
    let place = |name: &str, block: Block, width: usize, exact: Exact| {
        Scheme::new(Kind::Place, name, [block], 0..width, exact)
    };
    let sat_clip = |name: &'static str, encoding, width, exact| {
        place(name, Block::SatClip { encoding, validity: false }, width, exact).upstream("satclip", name)
    };
    let unit = |file, block| {
        let exact: Exact = Box::new(|at, _| exact::unit_vector(at).to_vec());
        place("place", block, 3, exact).upstream(file, "cartesian")
    };
    let quarter = |axis| Block::TerraMindCoordinate(TerraMindCoordinate { axis, width: 8, strict: false });
    let mut all = vec![
        place(
            "spherical harmonics, degree 10",
            Block::Place { degree: 10 },
            121,
            Box::new(|at, _| {
                exact::spherical_harmonics(10, at.lat.to_radians().sin(), at.lon.to_radians(), 1.0)
            }),
        )
        .drawn(),
        place(
            "spherical harmonics, L = 10",
            Block::Harmonics { degree: 9, convention: Convention::SatClipAnalytic, validity: false },
            100,
            Box::new(|at, _| {
                let (south, east) = (-at.lat.to_radians().sin(), (at.lon + 180.0).to_radians());
                exact::spherical_harmonics(9, south, east, PI)
            }),
        ),
        sat_clip("wrap", SatClip::Wrap, 4, Box::new(|at, _| wrap(at))),
        sat_clip(
            "direct",
            SatClip::Direct,
            2,
            Box::new(|at, _| [at.lon, at.lat].map(|x| x.to_radians() - PI).to_vec()),
        ),
        Scheme::new(
            Kind::Place,
            "latitude and longitude",
            [Block::ClayScalars { validity: false }],
            4..8,
            Box::new(|at, _| exact::interleaved([at.lat.to_radians(), at.lon.to_radians()].into_iter())),
        )
        .upstream("clay", "latlon.")
        .drawn(),
        place(
            "location, D = 256",
            Block::Prithvi {
                encoding: Prithvi::Location { width: 256, scale: Scale::Fixed(1.0) },
                validity: false,
            },
            256,
            Box::new(|at, _| [exact::sinusoid(128, at.lat), exact::sinusoid(128, at.lon)].concat()),
        )
        .upstream("prithvi", "location.")
        .drawn(),
        Scheme::new(
            Kind::Place,
            "coordinate tokens (random rows)",
            [quarter(Coordinate::Lat), quarter(Coordinate::Lon)],
            0..16,
            Box::new(|at, arena| {
                // A missing vector, then a row for each quarter of a degree, latitude first.
                let row = |degrees: f64, half: f64, table: usize| {
                    let at = table + 8 + 8 * ((4.0 * degrees).round_ties_even() + half) as usize;
                    arena[at..at + 8].iter().map(|&value| value.into()).collect::<Vec<f64>>()
                };
                [row(at.lat, 360.0, 0), row(at.lon, 720.0, 8 + 8 * 721)].concat()
            }),
        )
        .drawn(),
        unit("galileo", Block::Galileo(Galileo::Place)),
        unit("presto", Block::Presto(Presto::Place)),
        place(
            "Equal Earth x, y",
            Block::EqualEarth { validity: false },
            2,
            Box::new(|at, _| exact::equal_earth(at).to_vec()),
        )
        .upstream("geoclip", "equal_earth"),
    ];
    all.extend([(1.0, "rff.rff0"), (16.0, "rff.rff1"), (256.0, "rff.rff2")].map(|(sigma, group)| {
        let rows = directions(sigma, 256);
        let block = Block::Fourier {
            features: Fourier::Gaussian(rows.clone()),
            of: [Source::EqualEarthX, Source::EqualEarthY],
            validity: false,
        };
        let exact: Exact = Box::new(move |at, _| exact::gaussian(&rows, exact::equal_earth(at)));
        let scheme = place("", block, 512, exact).upstream("geoclip", group);
        let scheme = scheme.called(&format!("GeoCLIP: Fourier features, σ = {sigma}"));
        if sigma == 1.0 { scheme.drawn() } else { scheme }
    }));
    all
}

/// cos lon, sin lon, cos lat, sin lat.
fn wrap(at: &At) -> Vec<f64> {
    [at.lon, at.lat].into_iter().flat_map(|x| [x.to_radians().cos(), x.to_radians().sin()]).collect()
}

/// Space2Vec, Sphere2Vec and TorchSpatial.
fn spatial() -> Vec<Scheme> {
    const F: u32 = 16;
    let radii = Radii { count: F, min: 1e-6, max: 1.0 };
    let f = F as usize;
    // As upstream, but for nerf, whose last of so many octaves would be noise.
    let of = |encoding| Radii { count: if encoding == Spatial::Nerf { 8 } else { F }, ..radii };
    let one = |(name, encoding, width, group): (&str, Spatial, usize, &'static str)| {
        let radii = of(encoding);
        let exact: Exact = Box::new(move |at, _| exact::spatial(encoding, &radii, at));
        let block = Block::Spatial { encoding, radii, validity: false };
        let scheme = Scheme::new(Kind::Place, name, [block], 0..width, exact).upstream("torchspatial", group);
        let scheme = scheme.called(&format!("TorchSpatial: {name}"));
        if encoding == Spatial::SphereC { scheme.drawn() } else { scheme }
    };
    [
        ("grid", Spatial::Grid, 4 * f, "case1.grid"),
        ("theory", Spatial::Theory, 6 * f, "case1.theory"),
        ("sphereC", Spatial::SphereC, 3 * f, "case1.sphereC."),
        ("sphereC+", Spatial::SphereCPlus, 6 * f, "case1.sphereCplus"),
        ("sphereM", Spatial::SphereM, 5 * f, "case1.sphereM."),
        ("sphereM+", Spatial::SphereMPlus, 8 * f, "case1.sphereMplus."),
        ("sphereM+ (Sphere2Vec)", Spatial::SphereMPlusOfSphere2Vec, 8 * f, "case1.sphereMplus_sphere2vec"),
        ("dfs", Spatial::Dfs, 4 * f * f + 4 * f, "dft"),
        ("xyz", Spatial::Xyz, 3, "xyz"),
        ("nerf, 8 octaves", Spatial::Nerf, 48, "nerf"),
        ("wrap", Spatial::Wrap, 4, "wrap"),
    ]
    .map(one)
    .into()
}

fn seasons() -> Vec<Scheme> {
    let season = |name: &str, block: Block, columns: Range<usize>, exact: Exact| {
        Scheme::new(Kind::Season, name, [block], columns, exact)
    };
    let month = |file, block| {
        let exact: Exact = Box::new(|at, _| {
            let turns = (f64::from(at.date.month()) - 1.0) / 12.0;
            exact::split([TAU * turns; 16].into_iter())
        });
        season("month", block, 0..32, exact).upstream(file, "month_table")
    };
    // GT-Loc's angle of the month alone: a constant phase apart, which changes no distance, it is this wave.
    let gt_loc =
        directions(1.0, 256).iter().map(|row| [row[0] * (TAU / 4380.0) as f32, 0.0]).collect::<Vec<_>>();
    let rows = gt_loc.clone();
    vec![
        season("season", Block::Season, 0..16, Box::new(|at, _| exact::harmonics_of(at.season(), 8))).drawn(),
        season(
            "week",
            Block::ClayScalars { validity: false },
            0..2,
            Box::new(|at, _| {
                let week = f64::from(at.date.iso_week_date().week());
                exact::interleaved([TAU * week / 52.0].into_iter())
            }),
        )
        .upstream("clay", "time.")
        .drawn(),
        season(
            "day, half of D = 256",
            Block::Prithvi {
                encoding: Prithvi::Time {
                    of: [Source::Year, Source::DayOfYear],
                    width: 256,
                    scale: Scale::Fixed(1.0),
                },
                validity: false,
            },
            128..256,
            Box::new(|at, _| exact::sinusoid(128, at.day())),
        )
        .upstream("prithvi", "temporal.")
        .drawn(),
        month("galileo", Block::Galileo(Galileo::Month { width: 32 })),
        month("presto", Block::Presto(Presto::Month { width: 32 })),
        season(
            "day of the year, D = 512",
            Block::Tessera(Tessera::DayOfYear { width: 512 }),
            0..512,
            Box::new(|at, _| exact::sinusoid_interleaved(512, at.day())),
        )
        .upstream("tessera", "doy_pe")
        .drawn(),
        season(
            "learned frequencies, as they start",
            Block::TesseraFrequencies { source: Source::DayOfYear, count: 64 },
            0..128,
            Box::new(|at, arena| {
                exact::split(arena[..64].iter().map(|f| TAU * f64::from(*f) * at.day() / 365.0))
            }),
        ),
        season(
            "calendar (random rows)",
            Block::SkySenseCalendar { width: 16 },
            0..16,
            Box::new(|at, arena| {
                let row = 16 * at.day() as usize;
                arena[row..row + 16].iter().map(|&value| value.into()).collect()
            }),
        ),
        season(
            "",
            Block::Fourier {
                features: Fourier::Gaussian(gt_loc),
                of: [Source::LocalMonthPart, Source::LocalSecond],
                validity: false,
            },
            0..512,
            Box::new(move |at, _| {
                let [month, day] = [at.date.month(), at.date.day()].map(|part| f64::from(part) - 1.0);
                exact::gaussian(&rows, [365.0 * month + 12.0 * day, 0.0])
            }),
        )
        .called("GT-Loc: month angle, Fourier features, σ = 1")
        .upstream("gtloc", "rff.rff0"),
    ]
}

fn others() -> Vec<Scheme> {
    let other = |name: &str, block: Block, columns: Range<usize>, exact: Exact| {
        Scheme::new(Kind::Other, name, [block], columns, exact)
    };
    let years = |at: &At| at.year() + at.season();
    vec![
        other("day", Block::Day, 0..8, Box::new(|at, _| exact::harmonics_of(at.of_day(), 4))),
        other(
            "year",
            Block::Year,
            0..7,
            Box::new(move |at, _| {
                let waves = [4.0, 16.0, 64.0].into_iter().map(|period| TAU * years(at) / period);
                [vec![(years(at) - 2015.0) / 10.0], exact::split(waves)].concat()
            }),
        ),
        other(
            "hour",
            Block::ClayScalars { validity: false },
            2..4,
            Box::new(|at, _| exact::interleaved([TAU * (at.of_day() * 24.0).floor() / 24.0].into_iter())),
        )
        .upstream("clay", "time."),
        other(
            "year, half of D = 256",
            Block::Prithvi {
                encoding: Prithvi::Time {
                    of: [Source::Year, Source::DayOfYear],
                    width: 256,
                    scale: Scale::Fixed(1.0),
                },
                validity: false,
            },
            0..128,
            Box::new(|at, _| exact::sinusoid(128, at.year())),
        )
        .upstream("prithvi", "temporal."),
        other(
            "GSD",
            Block::Gsd,
            0..9,
            Box::new(|_, _| {
                let octaves = (GSD_M / 10.0).log2();
                let waves = [1.0, 2.0, 4.0, 8.0].into_iter().map(move |period| TAU * octaves / period);
                [vec![octaves], exact::split(waves)].concat()
            }),
        ),
        other(
            "wavelength, D = 128",
            Block::Clay { encoding: Clay::Wavelength { width: 128 }, validity: false },
            0..128,
            Box::new(|_, _| exact::split((0..64).map(|i| WAVELENGTH_UM * 1e4f64.powf(-f64::from(i) / 63.0)))),
        )
        .upstream("clay", "posemb1d_wave"),
        other(
            "GT-Loc",
            Block::TimeAngles { validity: false },
            0..2,
            Box::new(|at, _| {
                let [month, day] = [at.date.month(), at.date.day()].map(|part| f64::from(part) - 1.0);
                [(month + day * 12.0 / 365.0) / 12.0, at.of_day()].map(|turns| TAU * turns - PI).to_vec()
            }),
        )
        .called("GT-Loc: angles of month and hour")
        .upstream("gtloc", "time_angles"),
    ]
}
