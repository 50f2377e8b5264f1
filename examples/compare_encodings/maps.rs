//! Similarity maps: the cosine similarity of one place, or one date, with all others.

use crate::at::At;
use crate::measure::{Runner, cosine};
use crate::schemes::Kind;
use gtca::records::Record;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Places that others are compared with: beside the antimeridian and within a continent.
pub const PLACES: [(&str, f64, f64); 2] = [("fiji", -16.8, 179.5), ("mato-grosso", -11.9, -55.5)];
/// Years of a time map, one a band.
const YEARS: std::ops::Range<i16> = 2016..2032;
/// Indices of the palette beside 0..=200 for −1..=1.
const MARK: u8 = 201;
const NOTHING: u8 = 202;
/// Rows encoded at a time.
const AT_ONCE: usize = 4096;

/// A picture of palette indices.
struct Picture {
    width: usize,
    pixels: Vec<u8>,
}

/// Writes `NAME-WHERE.png` for places, `NAME.png` for times.
pub fn draw(runner: &Runner<'_>, kind: Kind, folder: &Path, name: &str, cell_deg: f64) -> Result<()> {
    match kind {
        Kind::Place => PLACES.iter().try_for_each(|&(place, lat, lon)| {
            world(runner, At::place(lat, lon), cell_deg)?.write(&folder.join(format!("{name}-{place}.png")))
        }),
        Kind::Season => years(runner)?.write(&folder.join(format!("{name}.png"))),
        Kind::Other => Ok(()),
    }
}

/// The world, north up, 180° W on the left.
fn world(runner: &Runner<'_>, reference: At, cell_deg: f64) -> Result<Picture> {
    let (columns, rows) = ((360.0 / cell_deg) as usize, (180.0 / cell_deg) as usize);
    let centre = |index: usize| (index as f64 + 0.5) * cell_deg;
    let at = |index: usize| At::place(90.0 - centre(index / columns), centre(index % columns) - 180.0);
    let records: Vec<_> = (0..rows * columns).map(|index| at(index).record()).collect();
    let mut picture = Picture { width: columns, pixels: similarities(runner, reference.record(), &records)? };
    let mark = ((90.0 - reference.lat) / cell_deg, (reference.lon + 180.0) / cell_deg);
    for (down, across) in [(-1, 0), (1, 0), (0, -1), (0, 1), (0, 0), (-2, 0), (2, 0), (0, -2), (0, 2)] {
        let (row, column) = (mark.0 as isize + down, mark.1 as isize + across);
        if column >= 0 && column < columns as isize {
            picture.pixels[row as usize * columns + column as usize] = MARK;
        }
    }
    Ok(picture.enlarged(2, 2))
}

/// Noons, the day of the year across, years down; compared with 31 December 2023.
fn years(runner: &Runner<'_>) -> Result<Picture> {
    let reference = jiff::civil::date(2023, 12, 31);
    let mut picture = Picture { width: 366, pixels: Vec::new() };
    for year in YEARS {
        let days: Vec<_> = crate::at::noons(year..=year).collect();
        let records: Vec<_> = days.iter().map(At::record).collect();
        let mut row = similarities(runner, At::noon(reference).record(), &records)?;
        if year == reference.year() {
            row[364] = MARK;
        }
        row.resize(366, NOTHING);
        picture.pixels.extend(row);
    }
    Ok(picture.enlarged(1, 8))
}

fn similarities(runner: &Runner<'_>, reference: Record, records: &[Record]) -> Result<Vec<u8>> {
    let reference = runner.encode(&[reference])?;
    let reference = reference.iter().next().ok_or("no row")?;
    let mut pixels = Vec::with_capacity(records.len());
    for records in records.chunks(AT_ONCE) {
        pixels.extend(runner.encode(records)?.iter().map(|row| index(cosine(reference, row))));
    }
    Ok(pixels)
}

fn index(similarity: f64) -> u8 {
    (100.0 + 100.0 * similarity.clamp(-1.0, 1.0)).round() as u8
}

/// Blue for −1, white for 0, red for 1; black marks the reference, grey is nothing.
fn palette() -> Vec<u8> {
    const ENDS: [[f64; 3]; 2] = [[33.0, 82.0, 156.0], [178.0, 24.0, 43.0]];
    let colour = |index: u8| {
        let value = (f64::from(index) - 100.0) / 100.0;
        let end = ENDS[usize::from(value > 0.0)];
        end.map(|end| (255.0 + (end - 255.0) * value.abs()).round() as u8)
    };
    (0..=200).map(colour).chain([[0, 0, 0], [128, 128, 128]]).flatten().collect()
}

impl Picture {
    fn enlarged(self, across: usize, down: usize) -> Self {
        let wide =
            |row: &[u8]| row.iter().flat_map(|&pixel| std::iter::repeat_n(pixel, across)).collect::<Vec<_>>();
        let rows = self.pixels.chunks_exact(self.width).map(wide);
        Self { width: self.width * across, pixels: rows.flat_map(|row| row.repeat(down)).collect() }
    }

    fn write(&self, path: &Path) -> Result<()> {
        let file = BufWriter::new(File::create(path)?);
        let mut encoder = png::Encoder::new(file, self.width as u32, (self.pixels.len() / self.width) as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette());
        encoder.set_compression(png::Compression::High);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        Ok(writer.finish()?)
    }
}
