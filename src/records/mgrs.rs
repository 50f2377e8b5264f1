//! Squares of the Military Grid Reference System, which also name Sentinel-2's tiles.

use crate::Error;
use std::fmt;
use std::str::FromStr;

/// Latitude bands of 8° from −80° on; X has 12°. I and O are not letters here.
const BANDS: &[u8] = b"CDEFGHJKLMNPQRSTUVWX";
/// Columns of 100 km, by (zone − 1) mod 3.
const COLUMNS: [&[u8]; 3] = [b"ABCDEFGH", b"JKLMNPQR", b"STUVWXYZ"];
/// Rows of 100 km from the equator, again after 2,000 km; even zones start five letters on.
const ROWS: &[u8] = b"ABCDEFGHJKLMNPQRSTUV";
/// Rows run from −89 (80° S) to 93 (84° N).
const SOUTHERNMOST: i32 = -89;
const ROW_COUNT: u32 = 183;

/// A square of 100 km in one of the 60 zones of UTM (WGS 84), between 80° S and 84° N; with the wide zones of Norway and
/// Svalbard. Grid and lettering: NGA.STND.0037 (2014). Farther north and south MGRS uses another projection (UPS), which
/// has no squares here.
///
/// ```
/// use gtca::records::{MgrsSquare, Record};
/// let square = MgrsSquare::at(38.8895, -77.0353)?; // the Washington Monument
/// assert_eq!(square.to_string(), "18SUJ");
/// assert_eq!("T18SUJ".parse::<MgrsSquare>()?, square); // as Sentinel-2 writes it
/// let record = Record::new().tile(square.number());
/// assert!(square.number() < MgrsSquare::COUNT);
/// # Ok::<(), gtca::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MgrsSquare {
    zone: u32,
    band: usize,
    column: u32,
    row: i32,
}

impl MgrsSquare {
    /// How many numbers there are: rows of a table of tiles.
    pub const COUNT: u32 = 60 * 8 * ROW_COUNT;

    /// The square that holds a place.
    ///
    /// # Errors
    /// A latitude outside −80°..84°, where MGRS has no UTM squares, or a longitude outside ±180°.
    pub fn at(lat_deg: f64, lon_deg: f64) -> Result<Self, Error> {
        if !(-80.0..84.0).contains(&lat_deg) {
            let rule = "squares of MGRS lie in -80..84 degrees; nearer the poles is another grid";
            return Err(Error::argument("mgrs", "lat_deg", lat_deg, rule, "leave the tile out"));
        }
        if !(-180.0..=180.0).contains(&lon_deg) {
            let rule = "it must lie in -180..=180";
            return Err(Error::argument("mgrs", "lon_deg", lon_deg, rule, "wrap it into range"));
        }
        let zone = zone(lat_deg, lon_deg);
        // 180° lies in zone 1, which starts at −180°.
        let offset = (lon_deg - f64::from(6 * zone) + 183.0 + 180.0).rem_euclid(360.0) - 180.0;
        let [east, north] = transverse_mercator(lat_deg, offset);
        Ok(Self {
            zone,
            band: band(lat_deg),
            column: ((east + 500_000.0) / 100_000.0).floor().clamp(1.0, 8.0) as u32,
            row: (north / 100_000.0).floor() as i32,
        })
    }

    /// Its number, below [`COUNT`](Self::COUNT): a row of a table. A square that the border of a band cuts has two names and
    /// one number.
    pub fn number(self) -> u32 {
        let row = (self.row - SOUTHERNMOST) as u32;
        ((self.zone - 1) * 8 + self.column - 1) * ROW_COUNT + row
    }

    /// Zone of UTM, 1..=60.
    pub fn zone(self) -> u32 {
        self.zone
    }

    fn row_shift(zone: u32) -> i32 {
        if zone.is_multiple_of(2) { 5 } else { 0 }
    }
}

impl fmt::Display for MgrsSquare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = (self.row + Self::row_shift(self.zone)).rem_euclid(20) as usize;
        let column = COLUMNS[(self.zone as usize - 1) % 3][self.column as usize - 1];
        let letters = [BANDS[self.band], column, ROWS[row]].map(char::from);
        write!(f, "{:02}{}", self.zone, String::from_iter(letters))
    }
}

impl FromStr for MgrsSquare {
    type Err = Error;

    /// Reads `32TMT` or, as Sentinel-2 writes it, `T32TMT`. Zones 32X, 34X and 36X do not exist and are refused. Rows
    /// are checked against the band, give or take one; columns are not against the zone, which narrows towards the poles.
    fn from_str(name: &str) -> Result<Self, Error> {
        let rule = "a square is a zone, a band, a column and a row that exist, as in 32TMT";
        let refused = || Error::argument("mgrs", "square", name, rule, "check the name");
        let plain = name.strip_prefix('T').unwrap_or(name).as_bytes();
        let (digits, letters) = plain.split_at_checked(plain.len().wrapping_sub(3)).ok_or_else(refused)?;
        let zone = match *digits {
            [one] => decimal(one),
            [ten, one] => decimal(ten).zip(decimal(one)).map(|(ten, one)| 10 * ten + one),
            _ => None,
        };
        let zone = zone.filter(|zone| (1..=60).contains(zone)).ok_or_else(refused)?;
        let place = |among: &[u8], letter: u8| among.iter().position(|other| *other == letter);
        let band = place(BANDS, letters[0]).ok_or_else(refused)?;
        // Svalbard's wide zones leave none between them.
        if letters[0] == b'X' && [32, 34, 36].contains(&zone) {
            return Err(refused());
        }
        let column = place(COLUMNS[(zone as usize - 1) % 3], letters[1]).ok_or_else(refused)?;
        let row = place(ROWS, letters[2]).ok_or_else(refused)?;
        // The rows of a band, one more at either side: away from the central meridian parallels bend polewards.
        let south = 8.0 * band as f64 - 80.0;
        let north = if band == 19 { 84.0 } else { south + 8.0 };
        let [first, last] =
            [south, north].map(|lat| (transverse_mercator(lat, 0.0)[1] / 100_000.0).floor() as i32);
        let is_named = |found: &i32| (found + Self::row_shift(zone)).rem_euclid(20) == row as i32;
        let mut rows = (first - 1).max(SOUTHERNMOST)..=(last + 1).min(SOUTHERNMOST + ROW_COUNT as i32 - 1);
        let row = rows.find(is_named).ok_or_else(refused)?;
        Ok(Self { zone, band, column: column as u32 + 1, row })
    }
}

fn decimal(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(10)
}

fn band(lat_deg: f64) -> usize {
    (((lat_deg + 80.0) / 8.0) as usize).min(19)
}

fn zone(lat_deg: f64, lon_deg: f64) -> u32 {
    let lon = if lon_deg == 180.0 { -180.0 } else { lon_deg };
    let is_norway = (56.0..64.0).contains(&lat_deg) && (3.0..12.0).contains(&lon);
    let is_svalbard = lat_deg >= 72.0 && (0.0..42.0).contains(&lon);
    match lon {
        _ if is_norway => 32,
        ..9.0 if is_svalbard => 31,
        ..21.0 if is_svalbard => 33,
        ..33.0 if is_svalbard => 35,
        _ if is_svalbard => 37,
        _ => ((lon + 180.0) / 6.0) as u32 + 1,
    }
}

/// UTM's metres east of the central meridian and north of the equator: Krüger's series to the fourth order (Karney,
/// Journal of Geodesy 2011, eqs. 7–13 and 35), within a micrometre in a zone.
fn transverse_mercator(lat_deg: f64, lon_deg: f64) -> [f64; 2] {
    let (axis, flattening, scale) = (6_378_137.0, 1.0 / 298.257_223_563, 0.9996);
    let eccentricity = f64::sqrt(flattening * (2.0 - flattening));
    let n: f64 = flattening / (2.0 - flattening);
    let radius = axis / (1.0 + n) * (1.0 + n.powi(2) / 4.0 + n.powi(4) / 64.0);
    let series = [
        n / 2.0 - 2.0 / 3.0 * n.powi(2) + 5.0 / 16.0 * n.powi(3) + 41.0 / 180.0 * n.powi(4),
        13.0 / 48.0 * n.powi(2) - 3.0 / 5.0 * n.powi(3) + 557.0 / 1440.0 * n.powi(4),
        61.0 / 240.0 * n.powi(3) - 103.0 / 140.0 * n.powi(4),
        49_561.0 / 161_280.0 * n.powi(4),
    ];
    let tangent = lat_deg.to_radians().tan();
    let (sine, cosine) = lon_deg.to_radians().sin_cos();
    let secant = tangent.hypot(1.0);
    let sigma = (eccentricity * (eccentricity * tangent / secant).atanh()).sinh();
    let conformal = tangent * sigma.hypot(1.0) - sigma * secant;
    let [along, across] = [conformal.atan2(cosine), (sine / conformal.hypot(cosine)).asinh()];
    let (mut north, mut east) = (along, across);
    for (j, alpha) in (1..).zip(series) {
        let double = 2.0 * f64::from(j);
        north += alpha * (double * along).sin() * (double * across).cosh();
        east += alpha * (double * along).cos() * (double * across).sinh();
    }
    [scale * radius * east, scale * radius * north]
}
