//! Names of wrong metadata.

use gtca::perturb::{Bearing, Distance, Perturb, PerturbDesc, Perturbation};
use gtca::records::{Field, Fields, Record};

use super::donors::Elsewhere;
use super::{SEED, SWAP, Wrong};
use crate::Error;

/// What a name may be.
pub(crate) const FORMS: &str = "\
Names of wrong metadata:
  10 km                    the place moves so far in a random direction
  10 to 100 km             so far as is drawn between the two
  10 km east               so far north, east, south or west; likewise `10 to 100 km east`
  +3 months                the date moves by days, months or years, the time by hours; -6 hours back
  gsd x2                   the ground sample distance times 2
  drop place               place (lat and lon), date, sensor, ids or a column is missing: lat, lon, year, month, day, hour,
                           gsd_m, koppen_code
  missing                  all metadata is missing: the prediction from the image alone
  month = 7                the same for all rows, in one of these columns
  neighbour                the place of the nearest other row within 50 km
  far, same climate        a place on land, more than 2000 km away, drawn; needs --climate-grid
  far, other climate       likewise, of another zone; needs --climate-grid
  same season elsewhere    the place of a row within 15 days of the year, more than 100 km away, drawn
  random place             the place of any other row, drawn
  100 km & +6 months       one after the other, up to eight";

/// One of the changes that `&` joins, with its name in results.
struct Term {
    name: String,
    change: Perturbation,
    elsewhere: Option<Elsewhere>,
}

impl Term {
    fn new(name: impl Into<String>, change: Perturbation) -> Self {
        Self { name: name.into(), change, elsewhere: None }
    }
}

impl Wrong {
    /// What a name says.
    ///
    /// # Errors
    /// A name that says nothing, a number out of range, other places twice.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |rule: String| Error::argument("--wrong", rule);
        let read = |part: &str| {
            term(&tidy(part)).ok_or_else(|| refuse(format!("`{}` is not understood. {FORMS}", part.trim())))
        };
        let terms = text.split('&').map(read).collect::<Result<Vec<Term>, _>>()?;
        let parts: Vec<Perturbation> = terms.iter().map(|term| term.change).collect();
        Perturb::new(&PerturbDesc { parts: &parts, seed: SEED })
            .map_err(|e| refuse(format!("`{}`: {e}", text.trim())))?;
        let mut places = terms.iter().filter_map(|term| term.elsewhere);
        let elsewhere = places.next();
        if places.next().is_some() {
            return Err(refuse(format!("`{}`: a sample gets one other place", text.trim())));
        }
        let name = terms.iter().map(|term| term.name.as_str()).collect::<Vec<_>>().join(" & ");
        Ok(Self { name, parts, elsewhere })
    }
}

/// Lower case, single spaces, plain signs.
fn tidy(text: &str) -> String {
    let plain = text.to_lowercase().replace('−', "-").replace('×', "x");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn term(text: &str) -> Option<Term> {
    [elsewhere, dropped, set, scale, shift, displace].iter().find_map(|form| form(text))
}

fn elsewhere(text: &str) -> Option<Term> {
    let kind = Elsewhere::named(text)?;
    Some(Term { elsewhere: Some(kind), ..Term::new(kind.name(), SWAP) })
}

fn dropped(text: &str) -> Option<Term> {
    let what = if text == "missing" { "all" } else { text.strip_prefix("drop ")? };
    let (name, fields) = match what {
        "all" => ("missing".to_owned(), Fields::METADATA),
        "place" => (text.to_owned(), Fields::PLACE),
        "date" => (text.to_owned(), Fields::DATE),
        "sensor" => (text.to_owned(), Fields::SENSOR),
        "ids" => (text.to_owned(), Fields::IDS),
        column => (text.to_owned(), field(column)?.into()),
    };
    Some(Term::new(name, Perturbation::Drop { fields }))
}

/// The field that a column of the table becomes.
fn field(column: &str) -> Option<Field> {
    Some(match column {
        "lat" => Field::Lat,
        "lon" => Field::Lon,
        "year" => Field::Year,
        "month" => Field::Month,
        "day" => Field::Day,
        "hour" => Field::SecondOfDay,
        "gsd_m" => Field::Gsd,
        "koppen_code" => Field::ClimateZone,
        _ => return None,
    })
}

fn set(text: &str) -> Option<Term> {
    let (column, value) = text.split_once('=').map(|(column, value)| (column.trim(), value.trim()))?;
    let whole = || value.parse::<i32>().ok();
    let number = || value.parse::<f64>().ok();
    let record = Record::new();
    let values = match field(column)? {
        Field::Lat => record.lat_deg(number()?),
        Field::Lon => record.lon_deg(number()?),
        Field::Year => record.year(whole()?),
        Field::Month => record.month(whole()?),
        Field::Day => record.day(whole()?),
        Field::SecondOfDay => record.second_of_day((number()? * 3600.0).round() as i32),
        Field::Gsd => record.gsd_m(number()?),
        _ => record.climate_zone(value.parse().ok()?),
    };
    Some(Term::new(format!("{column} = {value}"), Perturbation::Set { values }))
}

fn scale(text: &str) -> Option<Term> {
    let gsd: f64 = text.strip_prefix("gsd x")?.trim().parse().ok()?;
    (gsd != 1.0).then(|| Term::new(format!("gsd ×{gsd}"), Perturbation::Scale { gsd }))
}

fn shift(text: &str) -> Option<Term> {
    let (number, unit) = text.split_at(text.find(char::is_alphabetic)?);
    let n: i32 = number.replace(' ', "").parse().ok().filter(|n| *n != 0)?;
    let unit = unit.strip_suffix('s').unwrap_or(unit);
    let change = match unit {
        "day" => Perturbation::ShiftDays { days: n },
        "month" => Perturbation::ShiftMonths { months: n },
        "year" => Perturbation::ShiftYears { years: n },
        "hour" => Perturbation::ShiftHours { hours: n },
        _ => return None,
    };
    let (sign, many) = (if n < 0 { '−' } else { '+' }, if n.unsigned_abs() == 1 { "" } else { "s" });
    Some(Term::new(format!("{sign}{} {unit}{many}", n.unsigned_abs()), change))
}

fn displace(text: &str) -> Option<Term> {
    let compass = [(" north", 0.0), (" east", 90.0), (" south", 180.0), (" west", 270.0)];
    let course = compass.iter().find_map(|(name, degrees)| Some((text.strip_suffix(name)?, *name, *degrees)));
    let (text, towards, bearing) = match course {
        Some((text, name, degrees)) => (text, name, Bearing::Degrees(degrees)),
        None => (text, "", Bearing::Random),
    };
    let number = |text: &str| text.trim().parse::<f64>().ok();
    let km = text.strip_suffix("km")?;
    let (how_far, distance) = match km.split_once(" to ") {
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?);
            (format!("{from} to {to}"), Distance::LogUniformKm { from, to })
        }
        None => {
            let km = number(km)?;
            (km.to_string(), Distance::Km(km))
        }
    };
    Some(Term::new(format!("{how_far} km{towards}"), Perturbation::Displace { distance, bearing }))
}
