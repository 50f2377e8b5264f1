//! Which schemes there are: one row for each variant of [`Block`], from which README's table is written
//! (`cargo xtask schemes`).

use super::Block;

/// One kind of [`Block`], in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemeInfo {
    /// Whose it is: `gtca`, or the published system.
    pub system: &'static str,
    /// The variant of [`Block`].
    pub block: &'static str,
    /// The numbers of a record, or of a token's place, that it reads.
    pub reads: &'static str,
    /// Where its formulas come from: repository at commit, or paper.
    pub source: &'static str,
    /// Bound of the error against f64, as tested: absolute, in the unit of the features.
    pub worst_error: &'static str,
    /// What the backward gives a gradient of.
    pub backward: &'static str,
}

/// The rows, and the match that says which row a block has: a variant without a row does not compile.
macro_rules! catalogue {
    ($($system:literal, $variant:ident, $reads:literal, $source:expr, $error:literal, $backward:literal;)*) => {
        const SCHEMES: &[SchemeInfo] = &[$(catalogue!(@row $system, $variant, $reads, $source, $error, $backward)),*];

        impl Block {
            /// Its row of [`schemes`].
            ///
            /// ```
            /// use gtca::encode::Block;
            /// assert_eq!(Block::Season.info().system, "gtca");
            /// ```
            pub fn info(&self) -> &'static SchemeInfo {
                match self {
                    $(Self::$variant { .. } => {
                        &catalogue!(@row $system, $variant, $reads, $source, $error, $backward)
                    })*
                }
            }
        }
    };
    (@row $system:literal, $variant:ident, $reads:literal, $source:expr, $error:literal, $backward:literal) => {
        SchemeInfo {
            system: $system,
            block: stringify!($variant),
            reads: $reads,
            source: $source,
            worst_error: $error,
            backward: $backward,
        }
    };
}

const OURS: &str = "this repository";
const CLAY: &str = "Clay-foundation/model@a5790cef";
const TERRATORCH: &str = "IBM/terratorch@85467a9f";
const TORCHSPATIAL: &str = "seai-lab/TorchSpatial@9f8d8336, gengchenmai/sphere2vec@babd3385";
const SATCLIP: &str = "microsoft/satclip@1ead1067";
const GEOCLIP: &str = "VicenteVivan/geo-clip@7a1a23b4";
const TESSERA: &str = "ucam-eo/tessera@ef4f0ace";

catalogue! {
    // system, block, reads, source, error, backward
    "gtca", Place, "latitude, longitude", OURS, "2e-7 + 1e-8·degree", "missing vector, place";
    "gtca", Season, "date, second", OURS, "1e-6", "missing vector, time";
    "gtca", Day, "second, UTC offset", OURS, "1e-6", "missing vector, time";
    "gtca", Year, "date", OURS, "1e-6; decades: f32", "missing vector, time";
    "gtca", Gsd, "GSD", OURS, "1e-6; octaves: f32", "missing vector, GSD";
    "gtca", GeoTime, "latitude, longitude, date, second, UTC offset", OURS, "1e-6", "place, time";
    "gtca", Id, "sensor, climate zone, ecoregion or tile", OURS, "2⁻²⁴ of the sum", "table, missing vector";
    "gtca", Table, "any whole number, S2 cells too", OURS, "exact", "table, missing vector";
    "gtca", Waves, "any numbers", OURS, "1e-6 below 1e4 rad", "numbers that do not step";
    "Clay v1.5", ClayScalars, "ISO week, hour, latitude, longitude", CLAY, "1e-6", "place";
    "Clay v1.5", Clay, "token and GSD, or wavelength", CLAY, "1e-6; 5e-6 above 1e4 rad", "–";
    "Prithvi-EO-2.0", Prithvi, "year and day, latitude and longitude, or token", TERRATORCH, "1e-6", "scale, place";
    "TerraMind", TerraMind, "token", TERRATORCH, "1e-6", "–";
    "TerraMind", TerraMindCoordinate, "latitude or longitude, quarters of a degree", TERRATORCH, "exact", "table, missing vector";
    "Galileo", Galileo, "month, place, or token and GSD", "nasaharvest/galileo@0f0b5b95", "1e-6", "place";
    "Presto", Presto, "month, place, or token", "nasaharvest/presto@13173d02", "1e-6", "place";
    "Tessera", Tessera, "day of the year", TESSERA, "1e-6", "–";
    "Tessera", TesseraFrequencies, "day of the year", TESSERA, "1e-6", "frequencies, phases";
    "SkySense++", SkySenseCalendar, "day of the year", "kang-wu/SkySensePlusPlus@cb0c6b77", "exact", "table, missing vector";
    "GeoCLIP", EqualEarth, "latitude, longitude", GEOCLIP, "1e-6", "place";
    "GeoCLIP, GT-Loc, TorchSpatial", Fourier, "any two numbers", GEOCLIP, "1e-6; 5e-6 above 1e4 rad", "numbers that do not step";
    "GT-Loc", TimeAngles, "month, day, second, UTC offset", "dshatwell23/gtloc@6e7d9d27", "1e-6", "time";
    "SatCLIP", Harmonics, "latitude, longitude", SATCLIP, "π(2e-7 + 1e-8·degree)", "place";
    "SatCLIP", SatClip, "latitude, longitude", SATCLIP, "1e-6", "place";
    "Space2Vec, Sphere2Vec, TorchSpatial", Spatial, "latitude, longitude", TORCHSPATIAL, "1e-6; 5e-6 above 1e4 rad, 2e-5 above 1e7", "place";
}

/// Every kind of block, the rows of README's table.
///
/// ```
/// let clay = gtca::encode::schemes().iter().find(|scheme| scheme.block == "ClayScalars").unwrap();
/// assert!(clay.source.starts_with("Clay-foundation/model@"));
/// ```
pub fn schemes() -> &'static [SchemeInfo] {
    SCHEMES
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_block_has_one_row_and_says_which() {
        let names: BTreeSet<_> = schemes().iter().map(|scheme| scheme.block).collect();
        assert_eq!(names.len(), schemes().len());
        assert!(schemes().contains(Block::Place { degree: 1 }.info()));
        assert_eq!(Block::SkySenseCalendar { width: 1 }.info().block, "SkySenseCalendar");
    }

    #[test]
    fn a_published_scheme_names_its_commit() {
        for scheme in schemes().iter().filter(|scheme| scheme.system != "gtca") {
            let (_, commit) = scheme.source.split_once('@').unwrap_or_else(|| panic!("{}", scheme.block));
            assert!(
                commit.len() >= 8 && commit[..8].bytes().all(|b| b.is_ascii_hexdigit()),
                "{}",
                scheme.source
            );
        }
    }
}
