//! Joint features of place and time: one phase of all of them.

use crate::common::rng::{draw4, normals};
use crate::encode::scheme::Scheme;
use crate::encode::waves::{Wave, Waves};
use crate::encode::{OP, Source, schemes::Published};
use crate::{Error, encode::schemes::torchspatial::columns};

/// Key word that keeps the harmonics of [`GeoTime::random`] apart from every other use of a seed.
const HARMONICS: u32 = 0x6765_6f74;

/// One phase of [`Block::GeoTime`](crate::encode::Block::GeoTime): `place · r + season · s + day · t` turns, of the place r
/// on the unit sphere, the fraction s of the year and the fraction t of the day that have passed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeoTime {
    /// Turns per unit of x, y and z, each below 128.
    pub place: [f32; 3],
    /// Turns a year: whole, so that New Year is no seam.
    pub season: i32,
    /// Turns a day.
    pub day: i32,
}

impl GeoTime {
    /// Random phases: places normal with deviation `sigma` turns, harmonics uniform in −`season`..=`season` and
    /// −`day`..=`day`, at most 1,023.
    ///
    /// The dot product of two encodings, divided by the count, then tends to a kernel that is high only where place,
    /// season *and* hour agree: `exp(−2π²σ²|r − r'|²) · D_season(s − s') · D_day(t − t')` with Dirichlet's
    /// `D_n(x) = sin((2n + 1)πx) / ((2n + 1) sin πx)` (Rahimi and Recht, NeurIPS 2007).
    ///
    /// ```
    /// use gtca::encode::{Block, GeoTime, Plan};
    /// let phases = [1.0, 4.0, 16.0].iter().flat_map(|sigma| GeoTime::random(64, *sigma, [3, 2], 7));
    /// let plan = Plan::new(&[Block::GeoTime { phases: phases.collect(), validity: true }])?;
    /// assert_eq!(plan.width(), 3 * 128 + 1);
    /// # Ok::<(), gtca::Error>(())
    /// ```
    pub fn random(count: usize, sigma: f64, [season, day]: [u32; 2], seed: u64) -> Vec<Self> {
        let numbers: Vec<_> = normals(seed).take(3 * count).map(|x| (x * sigma) as f32).collect();
        let harmonic = |bits: u32, most: u32| {
            let most = i64::from(most.min(1023));
            (((i64::from(bits) * (2 * most + 1)) >> 32) - most) as i32
        };
        let one = |(id, place): (u64, &[f32])| {
            let [of_season, of_day, ..] = draw4(seed, HARMONICS, id, 0, 0);
            let place = [place[0], place[1], place[2]];
            Self { place, season: harmonic(of_season, season), day: harmonic(of_day, day) }
        };
        (0..).zip(numbers.chunks_exact(3)).map(one).collect()
    }

    /// Its wave; numbers that it does not turn with are left out.
    fn wave(&self) -> Option<Wave> {
        let [x, y, z] = self.place.map(f64::from);
        let terms = [
            (Source::UnitX, x),
            (Source::UnitY, y),
            (Source::UnitZ, z),
            (Source::SeasonTurns, self.season.into()),
            (Source::DayTurns, self.day.into()),
        ];
        terms.into_iter().filter(|(_, turns)| *turns != 0.0).fold(None, |wave: Option<Wave>, (of, turns)| {
            Some(match wave {
                Some(wave) => wave.plus(of, turns),
                None => Wave::new(of, turns),
            })
        })
    }
}

fn waves(phases: &[GeoTime]) -> Result<Waves, Error> {
    let bad = |value: String, rule| {
        Err(Error::argument(OP, "phases", value, rule, "draw them with GeoTime::random"))
    };
    let Some(waves) = phases.iter().map(GeoTime::wave).collect::<Option<Vec<_>>>() else {
        return bad("a phase of nothing".into(), "a phase turns with some number");
    };
    if phases.iter().any(|phase| !phase.place.iter().all(|turns| turns.abs() < 128.0)) {
        return bad("a place of 128 turns or more, or of NaN".into(), "a place turns fewer than 128 times");
    }
    if phases.iter().any(|phase| [phase.season, phase.day].iter().any(|k| k.unsigned_abs() >= 1024)) {
        return bad("a harmonic of 1,024 or more".into(), "seasons and days turn fewer than 1,024 times");
    }
    if waves.is_empty() {
        return bad("empty".into(), "there is a phase");
    }
    let cosines = waves.iter().cloned().map(Wave::cos);
    Ok(columns(cosines.chain(waves.iter().cloned()).map(|wave| vec![wave])).zero_by_column())
}

pub(in crate::encode) fn scheme(phases: &[GeoTime], validity: bool) -> Box<dyn Scheme> {
    Published::checked("geotime", validity, waves(phases))
}
